import Foundation
import Testing

/// Lines of requests that name no method: their stream ended before its headers had come, or their format has no column for it.
@Suite struct RequestWithoutMethodTests {
  let sandbox: Sandbox

  init() throws {
    sandbox = try Sandbox()
    try sandbox.write(
      """
      mesh: { internal: [10.244.0.0/16] }
      gateways: [{ name: egress, addresses: [10.244.0.200] }]

      """, to: "egress.yaml")
  }

  private func rows(_ logs: String, _ what: String) throws -> String {
    let outcome = try sandbox.shell(
      "rm -f gatewatch.db; $GATEWATCH ingest --policy egress.yaml \(logs) > i.txt; $GATEWATCH \(what)")
    #expect(outcome.status == 0, "\(outcome.errors)")
    return outcome.out
  }

  /// As Istio's own format has it.
  private func line(_ request: String, _ ending: String) -> String {
    "[2026-11-02T03:04:09.678Z] \"\(request)\" \(ending) - \"-\" 0 22 10000 - \"-\" \"-\" \"-\" \"-\" \"-\" - - 203.0.113.13:80 10.244.0.8:58124 - -\n"
  }

  private func endings() throws -> String {
    _ = try rows("a.log", "report")
    return try sandbox.answer("select path, outcome, reason from flows order by line")
  }

  @Test("a stream that ended before its headers came is no connection that a policy refused")
  func endedEarly() throws {
    try sandbox.write(
      line("- - HTTP/1.1", "408 - request_header_timeout") + line("- - HTTP/2", "0 - -")
        + line("- - HTTP/1.1", "400 DPE http1.codec_error"), to: "a.log")
    #expect(
      try endings() == "none,timeout,request-timeout\nnone,client-gone,client-gone\nnone,failed,bad-request")
    #expect(try rows("a.log", "report blocked").contains("nothing found"))
  }

  @Test("a connection has neither protocol nor status: one without cluster and upstream was refused")
  func connection() throws {
    try sandbox.write(
      line("- - -", "0 - -").replacing("0 22 10000", with: "0 0 0")
        + line("- - -", "0 UH -").replacing("0 22 10000", with: "0 0 0"), to: "a.log")
    #expect(try endings() == "none,blocked,registry-only-tcp\nnone,blocked,registry-only-tcp")
  }

  @Test("a format without the method is answered like the same one with it", arguments: [true, false])
  func withAndWithout(hasDetails: Bool) throws {
    let format =
      "[%START_TIME%] %REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% \(hasDetails ? "%RESPONSE_CODE_DETAILS% " : "")%BYTES_RECEIVED% %BYTES_SENT% %DURATION% \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %ROUTE_NAME%"
    func line(_ request: String, _ details: String, _ numbers: String, _ way: String) -> String {
      "[2026-11-02T03:04:06.678Z] \(request) \(hasDetails ? details + " " : "")\(numbers) \(way)\n"
    }
    let unsent = "- 203.0.113.9:80 10.244.0.6:47907"
    let lines = [
      line(
        "GET /b HTTP/1.1 403 -", "rbac_access_denied_matched_policy[none]", "0 19 0",
        "\"b.example\" \"-\" outbound|80||b.example \(unsent) -"),
      line("GET /r HTTP/1.1 301 -", "direct_response", "0 0 0", "\"r.example\" \"-\" - \(unsent) redirect"),
      line(
        "GET /j HTTP/1.1 401 -", "jwt_authn_access_denied{Jwt_is_missing}", "0 14 0",
        "\"j.example\" \"-\" - \(unsent) -"),
      line("GET /l HTTP/1.1 408 -", "request_overall_timeout", "9 22 0", "\"l.example\" \"-\" - \(unsent) -"),
      line(
        "GET /f HTTP/1.1 0 DC", "downstream_remote_disconnect", "100 0 5000",
        "\"f.example\" \"-\" outbound|80||f.example \(unsent) -"),
      line("GET /e HTTP/2 0 -", "-", "0 0 5000", "\"e.example\" \"-\" - \(unsent) -"),
      line(
        "GET /o HTTP/1.1 200 -", "via_upstream", "0 2381 12",
        "\"o.example\" \"10.244.0.200:8080\" outbound|80||istio-egressgateway.istio-system.svc.cluster.local 10.244.0.6:47909 203.0.113.9:80 10.244.0.6:47917 default"
      ),
      line(
        "CONNECT - HTTP/1.1 200 -", "via_upstream", "900 2381 12",
        "\"t.example:443\" \"10.244.0.200:8080\" outbound|80||istio-egressgateway.istio-system.svc.cluster.local 10.244.0.6:47911 203.0.113.9:80 10.244.0.6:47919 default"
      ),
    ]
    var answers: [[String]] = []
    for hasMethod in [true, false] {
      func dropping(_ text: String) -> String {
        if hasMethod { return text }
        return ["%REQ(:METHOD)% ", "GET ", "CONNECT "].reduce(text) { $0.replacing($1, with: "") }
      }
      try sandbox.write(dropping(format) + "\n", to: "f.format")
      try sandbox.write(lines.map(dropping).joined(), to: "a.log")
      let flows = try rows(
        "--log-format @f.format a.log",
        "query --format csv --csv-raw -e 'select host, url_path, protocol, status, path, outcome, reason, bypass, warnings from flows order by line'"
      )
      let reports = try sandbox.shell(
        "for r in blocked latency bypass; do $GATEWATCH report $r --format csv; done; $GATEWATCH report bypass | tail -n 1"
      ).out
      answers.append([flows, reports])
    }
    #expect(answers[0] == answers[1])
    #expect(answers[0][0].contains("r.example,/r,HTTP/1.1,301,none,ok,direct-response,,"), "\(answers[0][0])")
    #expect(answers[0][0].contains("l.example,/l,HTTP/1.1,408,none,timeout,request-timeout,,"), "\(answers[0][0])")
    #expect(answers[0][1].contains("no bypass found in what was read"), "\(answers[0][1])")
  }
}
