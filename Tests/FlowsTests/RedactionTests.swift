import Testing

@testable import Flows

@Suite("what a person is not shown of a log line")
struct RedactionTests {
  @Test("a word that may go on behind the end of the text may be a password")
  func cut() {
    let text = "GET https://bob:hunt"
    #expect(Redaction().text(text) == text)
    #expect(Redaction().text(text, isCut: true) == "GET https://[redacted]")
    #expect(Redaction().text(text + "/a", isCut: true) == text + "/a")
  }

  @Test(
    "everything behind a question mark, credentials in URLs and headers that carry them",
    arguments: [
      ("\"GET /pay?card=4111&token=abc HTTP/1.1\" 200", "\"GET /pay?[redacted] HTTP/1.1\" 200"),
      ("GET https://bob:hunter2@example.com/a - HIER", "GET https://[redacted]@example.com/a - HIER"),
      ("https://example.com/@home x", "https://example.com/@home x"),
      ("{\"path\":\"/a\\u003ftoken=x\",\"n\":1}", "{\"path\":\"/a\\u003f[redacted]\",\"n\":1}"),
      ("{\"log\":\"GET /a?b=c\\\" 200\"}", "{\"log\":\"GET /a?[redacted]\\\" 200\"}"),
      ("/a%3Fpassword=1 next", "/a%3F[redacted] next"),
      (
        "[Host:%20a%0D%0AAuthorization:%20Basic%20Ym9i%0D%0AAccept:%20*] x",
        "[Host:%20a%0D%0AAuthorization:[redacted]%0D%0AAccept:%20*] x"
      ),
      ("{\"authorization\":\"Bearer abc def\",\"b\":1}", "{\"authorization\":\"[redacted]\",\"b\":1}"),
      ("GET /what? HTTP/1.1", "GET /what? HTTP/1.1"),
      ("", ""),
    ])
  func redacts(line: String, shown: String) {
    #expect(Redaction().text(line) == shown)
  }

  @Test("with the query shown, parameters that carry secrets stay hidden")
  func showsHarmlessParameters() {
    let line = "GET /a?q=cats&X-Amz-Signature=f00&page=2;access_token=t HTTP/1.1"
    #expect(
      Redaction(showsQueries: true).text(line)
        == "GET /a?q=cats&X-Amz-Signature=[redacted]&page=2;access_token=[redacted] HTTP/1.1")
  }

  @Test("a quote that the client wrote into the query does not end it")
  func quoteInsideQuery() {
    let line = "\"GET /a?b=\"secret word\" HTTP/1.1\" 200"
    #expect(Redaction().text(line, values: ["/a?b=\"secret word\""]) == "\"GET /a?[redacted] HTTP/1.1\" 200")
  }

  @Test("a combining mark behind a question mark hides no query")
  func combiningMark() {
    let line = "\"GET /a?\u{301}b=\"secret word\" HTTP/1.1\" 200"
    let shown = Redaction().text(line, values: ["/a?\u{301}b=\"secret word\""])
    #expect(shown == "\"GET /a?[redacted] HTTP/1.1\" 200")
  }
}
