import AccessLogs
import Foundation
import Testing

/// Every format under `Fixtures/Formats` against the file of expectations beside it.
///
/// A new case is a new file: `NAME.envoy`, `NAME.nginx`, `NAME.squid` or `NAME.guess` holds a format string (nginx also
/// `NAME.nginx-json` and `NAME.nginx-none` for the other escapes). With `RECORD_FIXTURES` set the expectations are written,
/// and the test fails so that nobody takes them for checked.
struct FormatsGoldenTests {
  @Test("each good format compiles to the plan beside it", arguments: formatFixtures(in: "good"))
  func good(_ name: String) throws {
    try compare(described(try compile(name, in: "good")), with: name, in: "good", suffix: "plan")
  }

  @Test("each bad format is refused with a caret under the trouble and advice", arguments: formatFixtures(in: "bad"))
  func bad(_ name: String) throws {
    let error = try #require(throws: FormatError.self) { try compile(name, in: "bad") }
    #expect(!error.help.isEmpty)
    try compare(error.rendered(), with: name, in: "bad", suffix: "error")
  }

  private func compile(_ name: String, in folder: String) throws -> FormatPlan {
    var format = try String(contentsOf: formatFixturesFolder.appending(path: "\(folder)/\(name)"), encoding: .utf8)
    if format.hasSuffix("\n") { format.removeLast() }
    switch name.split(separator: ".").last {
    case "envoy": return try .envoy(format)
    case "nginx": return try .nginx(format)
    case "nginx-json": return try .nginx(format, escape: .json)
    case "nginx-none": return try .nginx(format, escape: .none)
    case "squid": return try .squid(format)
    case "guess": return try .guess(format)
    case "nginx-conf":
      let first = try #require(try FormatFile.nginxConf(format).first)
      return try .nginx(first.format, escape: first.escape, http: first.isHTTP)
    case "squid-conf": return try .squid(try #require(try FormatFile.squidConf(format).first).format)
    default: throw UnknownFixture(name: name)
    }
  }

  private func compare(_ actual: String, with name: String, in folder: String, suffix: String) throws {
    let file = formatFixturesFolder.appending(path: "\(folder)/\(name).\(suffix)")
    if ProcessInfo.processInfo.environment["RECORD_FIXTURES"] != nil {
      try actual.write(to: file, atomically: true, encoding: .utf8)
      Issue.record("recorded \(name).\(suffix)")
      return
    }
    #expect(actual == (try String(contentsOf: file, encoding: .utf8)))
  }
}

private struct UnknownFixture: Error { var name: String }

let formatFixturesFolder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/Formats")

func formatFixtures(in folder: String) -> [String] {
  let files =
    (try? FileManager.default.contentsOfDirectory(atPath: formatFixturesFolder.appending(path: folder).path)) ?? []
  return files.filter { !$0.hasSuffix(".plan") && !$0.hasSuffix(".error") && !$0.hasPrefix(".") }.sorted()
}
