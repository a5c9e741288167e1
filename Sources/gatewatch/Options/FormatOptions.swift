internal import AccessLogs
internal import ArgumentParser
internal import Foundation
internal import Reports
internal import Yams

/// The formats to try on a log: the user's own before the built-in ones.
struct FormatOptions: ParsableArguments {
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "A format of your own, as the proxy's configuration has it; may be repeated. @FILE takes every format from a file.",
      discussion: """
        Envoy: '[%START_TIME%] "%REQ(:METHOD)% ..." ...', or its json_format as JSON. nginx: '$remote_addr \
        [$time_local] ...'. Squid: '%ts.%03tu %6tr %>a ...'. @FILE: a mesh config or ConfigMap (accessLogFormat), an \
        Envoy or Telemetry resource, an nginx.conf (log_format), a squid.conf (logformat), or a file that holds one \
        format string.
        """,
      valueName: "string|@file"))
  var logFormat: [String] = []

  func plans() throws -> [FormatPlan] {
    var plans: [FormatPlan] = []
    for argument in logFormat {
      if argument.hasPrefix("@") {
        plans += try FormatOptions.plans(inFile: String(argument.dropFirst()))
      } else {
        do throws(FormatError) { plans.append(try FormatPlan.guess(argument)) } catch {
          throw FormatProblem(text: error.rendered(file: nil))
        }
      }
    }
    return plans + FormatPlan.builtIn
  }

  private static func plans(inFile file: String) throws -> [FormatPlan] {
    guard let content = FileManager.default.contents(atPath: file) else {
      throw ReportError(file: file, "cannot be read", help: "--log-format @FILE takes a configuration file")
    }
    guard let text = String(data: content, encoding: .utf8) else { throw ReportError(file: file, "is not UTF-8") }
    do throws(FormatError) {
      let plans = try plans(in: text, file: file)
      if !plans.isEmpty { return plans }
    } catch {
      throw FormatProblem(text: error.rendered(file: file))
    }
    throw ReportError(
      file: file, "holds no format",
      help: "it needs an accessLogFormat, a log_format, a logformat, or one format string and nothing else")
  }

  /// The formats of a configuration file, by the directives found in it.
  private static func plans(in text: String, file: String) throws(FormatError) -> [FormatPlan] {
    if hasDirective("log_format", in: text) {
      var plans: [FormatPlan] = []
      for found in try FormatFile.nginxConf(text) {
        plans.append(
          try FormatPlan.nginx(
            found.format, escape: found.escape, http: found.isHTTP, name: found.name,
            about: "log_format of \(file):\(found.line)"))
      }
      return plans
    }
    if hasDirective("logformat", in: text) {
      var plans: [FormatPlan] = []
      for found in try FormatFile.squidConf(text) {
        plans.append(
          try FormatPlan.squid(found.format, name: found.name, about: "logformat of \(file):\(found.line)"))
      }
      return plans
    }
    let formats = MeshConfig.formats(in: text)
    guard formats.isEmpty else {
      var plans: [FormatPlan] = []
      for format in formats { plans.append(try FormatPlan.envoy(format, about: "from \(file)")) }
      return plans
    }
    // A file of YAML without any format is not a format string.
    guard text.contains("%") || text.contains("$") else { return [] }
    var format = text
    while format.hasSuffix("\n") || format.hasSuffix("\r") { format.removeLast() }
    return [try FormatPlan.guess(format)]
  }

  private static func hasDirective(_ name: String, in text: String) -> Bool {
    text.split(whereSeparator: \.isNewline).contains { line in
      // `http { log_format ...` on one line is as good; a comment is not.
      line.prefix { $0 != "#" }.split { " \t{};".contains($0) }.contains(name[...])
    }
  }
}

/// A format that cannot be compiled, with the place shown under the text.
struct FormatProblem: Error, CustomStringConvertible {
  let text: String
  var description: String { text }
}

/// Finds Envoy's formats in YAML: Istio's mesh config (also inside the ConfigMap that carries it), an access log provider
/// of it (`logFormat.text`, `logFormat.labels`), or Envoy's own `text_format`, `json_format`, `inline_string`.
enum MeshConfig {
  private static let textKeys: Set<String> = [
    "accessLogFormat", "text_format", "textFormat", "inline_string", "inlineString",
  ]
  private static let objectKeys: Set<String> = ["json_format", "jsonFormat", "labels"]
  /// A ConfigMap holds the mesh config as a text, and that is as deep as it goes.
  private static let maxNesting = 2

  static func formats(in text: String) -> [String] { formats(in: text, nesting: 0) }

  private static func formats(in text: String, nesting: Int) -> [String] {
    var found: [String] = []
    guard nesting <= maxNesting, let documents = try? Yams.compose_all(yaml: text) else { return [] }
    for document in documents { collect(document, under: nil, nesting: nesting, into: &found) }
    return found
  }

  private static func collect(_ node: Node, under parent: String?, nesting: Int, into found: inout [String]) {
    switch node {
    case .mapping(let mapping):
      for (key, value) in mapping {
        let name = key.string ?? ""
        if let text = value.string, textKeys.contains(name) || name == "text" && parent == "logFormat" {
          if !text.isEmpty { add(text, to: &found) }
        } else if case .mapping = value, objectKeys.contains(name), name != "labels" || parent == "logFormat" {
          if let object = json(value) { add(object, to: &found) }
        } else if let text = value.string, text.contains("accessLogFormat") || text.contains("logFormat") {
          for format in formats(in: text, nesting: nesting + 1) { add(format, to: &found) }
        } else {
          collect(value, under: name, nesting: nesting, into: &found)
        }
      }
    case .sequence(let sequence):
      for value in sequence { collect(value, under: parent, nesting: nesting, into: &found) }
    default:
      break
    }
  }

  private static func add(_ format: String, to found: inout [String]) {
    if !found.contains(format) { found.append(format) }
  }

  /// The node as JSON text; values stay texts, as Envoy's formatter sees them.
  private static func json(_ node: Node) -> String? {
    func value(_ node: Node) -> Any {
      switch node {
      case .mapping(let mapping):
        var object: [String: Any] = [:]
        for (key, child) in mapping { object[key.string ?? ""] = value(child) }
        return object
      case .sequence(let sequence): return sequence.map(value)
      default: return node.string ?? ""
      }
    }
    guard
      let encoded = try? JSONSerialization.data(
        withJSONObject: value(node), options: [.sortedKeys, .withoutEscapingSlashes])
    else { return nil }
    return String(decoding: encoded, as: UTF8.self)
  }
}
