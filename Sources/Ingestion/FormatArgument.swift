public import AccessLogs
internal import Foundation
internal import Yams

/// What people give as `--log-format`: a format string of any of the three languages, or `@FILE` with a configuration file
/// that holds format strings.
///
/// From a file come: `accessLogFormat` of an Istio mesh config (a ConfigMap around it, an IstioOperator, Helm values and an
/// `EnvoyFileAccessLogProvider` with `logFormat.text` or `logFormat.labels` as well), every `log_format` of an nginx.conf,
/// every `logformat` of a squid.conf.
public enum FormatArgument {
  /// The plans behind an argument, in the order of the file; names are those of the definitions there.
  public static func plans(_ argument: String) throws(FormatArgumentError) -> [FormatPlan] {
    guard argument.hasPrefix("@") else {
      do throws(FormatError) { return [try FormatPlan.guess(argument)] } catch {
        throw FormatArgumentError(message: error.rendered())
      }
    }
    let path = String(argument.dropFirst())
    guard let data = FileManager.default.contents(atPath: path) else {
      throw FormatArgumentError(message: "cannot read \(path); give --log-format '@FILE' a file that exists\n")
    }
    return try plans(inFile: String(decoding: data, as: UTF8.self), path: path)
  }

  /// The plans in the text of a configuration file; its kind is told from what it holds, not from its name.
  public static func plans(inFile text: String, path: String) throws(FormatArgumentError) -> [FormatPlan] {
    do throws(FormatError) {
      let nginx = try FormatFile.nginxConf(text)
      if !nginx.isEmpty {
        var plans: [FormatPlan] = []
        for definition in nginx {
          plans.append(
            try FormatPlan.nginx(
              definition.format, escape: definition.escape, http: definition.isHTTP, name: definition.name,
              about: "log_format in \(path):\(definition.line)"))
        }
        return plans
      }
    } catch {
      // A mesh config can hold a brace or a quote that is no nginx; only a file that speaks of log_format is nginx's.
      if text.contains("log_format") { throw FormatArgumentError(message: error.rendered(file: path)) }
    }
    do throws(FormatError) {
      let squid = try FormatFile.squidConf(text)
      if !squid.isEmpty {
        var plans: [FormatPlan] = []
        for definition in squid {
          plans.append(
            try FormatPlan.squid(
              definition.format, name: definition.name, about: "logformat in \(path):\(definition.line)"))
        }
        return plans
      }
    } catch {
      throw FormatArgumentError(message: error.rendered(file: path))
    }
    let mesh = try meshFormats(text, path: path)
    guard mesh.isEmpty else { return mesh }
    throw FormatArgumentError(
      message: """
        no log format in \(path)
        help: looked for accessLogFormat (mesh config), log_format (nginx.conf) and logformat (squid.conf)

        """)
  }

  // MARK: - Istio's YAML

  private static func meshFormats(_ text: String, path: String) throws(FormatArgumentError) -> [FormatPlan] {
    let documents: [Node]
    do {
      documents = Array(try Yams.compose_all(yaml: text))
    } catch {
      throw FormatArgumentError(message: "\(path): \(error)\n")
    }
    var found: [(format: String, line: Int)] = []
    for document in documents { collect(document, into: &found, depth: 0) }
    var plans: [FormatPlan] = []
    for (format, line) in found {
      do throws(FormatError) {
        plans.append(
          try FormatPlan.envoy(
            format, name: plans.isEmpty ? "mesh" : "mesh-\(plans.count + 1)",
            about: "access log format in \(path):\(line)"))
      } catch {
        throw FormatArgumentError(message: error.rendered(file: path))
      }
    }
    return plans
  }

  /// Nested documents deeper than this are no mesh config.
  private static let maxDepth = 64

  private static func collect(_ node: Node, into found: inout [(format: String, line: Int)], depth: Int) {
    guard depth < maxDepth else { return }
    if let mapping = node.mapping {
      for (key, value) in mapping {
        let line = (value.mark ?? key.mark)?.line ?? 0
        switch key.string {
        case "accessLogFormat":
          if let format = value.string, !format.isEmpty { found.append((format, line)) }
        case "logFormat":
          if let format = value.mapping?["text"]?.string { found.append((format, line)) }
          if let labels = value.mapping?["labels"], let json = json(labels) { found.append((json, line)) }
        case "mesh", "meshConfig":
          // A ConfigMap holds the mesh config as a text of its own.
          if let inner = value.string, let nested = try? Yams.compose(yaml: inner) {
            collect(nested, into: &found, depth: depth + 1)
          } else {
            collect(value, into: &found, depth: depth + 1)
          }
        default: collect(value, into: &found, depth: depth + 1)
        }
      }
    } else if let sequence = node.sequence {
      for item in sequence { collect(item, into: &found, depth: depth + 1) }
    }
  }

  /// `labels` as the JSON object that Envoy's `json_format` would be.
  private static func json(_ labels: Node) -> String? {
    func value(_ node: Node) -> Any? {
      if let mapping = node.mapping {
        var object: [String: Any] = [:]
        for (key, inner) in mapping { if let name = key.string { object[name] = value(inner) } }
        return object
      }
      return node.string
    }
    guard let object = value(labels) as? [String: Any],
      let data = try? JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes])
    else { return nil }
    return String(decoding: data, as: UTF8.self)
  }
}

/// A `--log-format` that yields no format; the message is whole (place, excerpt, help) and ends with a newline.
public struct FormatArgumentError: Error, CustomStringConvertible {
  public var message: String
  public var description: String { message }
}
