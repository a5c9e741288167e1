public import AccessLogs
internal import Foundation

/// What people give as `--log-format`: a format string of any of the three languages, or `@FILE` with a configuration file
/// that holds format strings.
///
/// From a file come: every `log_format` of an nginx.conf, every `logformat` of a squid.conf, every format in YAML that
/// `MeshConfig` knows; a file without any of them may be one format string and nothing else.
public enum FormatArgument {
  /// The plans behind an argument, in the order of the file; names are those of the definitions there.
  public static func plans(_ argument: String) throws(FormatArgumentError) -> [FormatPlan] {
    guard argument.hasPrefix("@") else {
      do throws(FormatError) { return [try FormatPlan.guess(argument)] } catch {
        throw FormatArgumentError(message: error.rendered())
      }
    }
    let path = String(argument.dropFirst())
    guard let content = FileManager.default.contents(atPath: path) else {
      throw FormatArgumentError(message: "\(path): cannot be read; --log-format @FILE takes a configuration file")
    }
    guard let text = String(data: content, encoding: .utf8) else {
      throw FormatArgumentError(message: "\(path): is not UTF-8")
    }
    return try plans(inFile: text, path: path)
  }

  /// The plans in the text of a configuration file; its kind is told from what it holds, not from its name.
  public static func plans(inFile text: String, path: String) throws(FormatArgumentError) -> [FormatPlan] {
    let plans: [FormatPlan]
    do throws(FormatError) {
      if hasDirective("log_format", in: text) {
        plans = try nginx(text, path: path)
      } else if hasDirective("logformat", in: text) {
        plans = try squid(text, path: path)
      } else {
        plans = try envoy(text, path: path)
      }
    } catch {
      throw FormatArgumentError(message: error.rendered(file: path))
    }
    guard plans.isEmpty else { return plans }
    throw FormatArgumentError(
      message: """
        \(path): holds no format
          help: it needs an accessLogFormat, a log_format, a logformat, or one format string and nothing else
        """)
  }

  private static func nginx(_ text: String, path: String) throws(FormatError) -> [FormatPlan] {
    var plans: [FormatPlan] = []
    for found in try FormatFile.nginxConf(text) {
      plans.append(
        try FormatPlan.nginx(
          found.format, escape: found.escape, http: found.isHTTP, name: found.name,
          about: "log_format in \(path):\(found.line)"))
    }
    return plans
  }

  private static func squid(_ text: String, path: String) throws(FormatError) -> [FormatPlan] {
    var plans: [FormatPlan] = []
    for found in try FormatFile.squidConf(text) {
      plans.append(
        try FormatPlan.squid(found.format, name: found.name, about: "logformat in \(path):\(found.line)"))
    }
    return plans
  }

  private static func envoy(_ text: String, path: String) throws(FormatError) -> [FormatPlan] {
    var plans: [FormatPlan] = []
    for found in MeshConfig.formats(in: text) {
      plans.append(
        try FormatPlan.envoy(
          found.format, name: plans.isEmpty ? "mesh" : "mesh-\(plans.count + 1)",
          about: "access log format in \(path):\(found.line)"))
    }
    // YAML without any format is no format string, but one has a directive.
    guard plans.isEmpty, text.contains("%") || text.contains("$") else { return plans }
    var format = text
    while let last = format.last, last.isNewline { format.removeLast() }
    return [try FormatPlan.guess(format)]
  }

  private static func hasDirective(_ name: String, in text: String) -> Bool {
    text.split(whereSeparator: \.isNewline).contains { line in
      // `http { log_format ...` on one line is as good; a comment is not.
      line.prefix { $0 != "#" }.split { " \t{};".contains($0) }.contains(name[...])
    }
  }
}

/// A `--log-format` that yields no format; the message is whole: place, excerpt, help.
public struct FormatArgumentError: Error, CustomStringConvertible {
  public var message: String
  public var description: String { message }
}
