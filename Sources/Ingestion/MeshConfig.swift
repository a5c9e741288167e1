internal import Foundation
internal import EgressPolicy
internal import Yams

/// Finds Envoy's formats in YAML: Istio's mesh config (also inside of the ConfigMap that carries it, an IstioOperator or Helm
/// values), an access log provider of it (`logFormat.text`, `logFormat.labels`), or Envoy's own `text_format`, `json_format`,
/// `inline_string`.
enum MeshConfig {
  struct Found: Equatable {
    var format: String
    /// 1-based, of the text it was found in: of the inner one in a ConfigMap.
    var line: Int
  }

  private static let textKeys: Set<String> = [
    "accessLogFormat", "text_format", "textFormat", "inline_string", "inlineString",
  ]
  private static let objectKeys: Set<String> = ["json_format", "jsonFormat", "labels"]
  /// A ConfigMap holds the mesh config as a text, and that is as deep as it goes.
  private static let maxNesting = 2
  /// Objects in objects deeper than this are no mesh config.
  private static let maxDepth = 64

  /// In the order of the text, each format once; none where the text is no YAML.
  static func formats(in text: String) -> [Found] {
    var found: [Found] = []
    collect(text, nesting: 0, into: &found)
    return found
  }

  private static func collect(_ text: String, nesting: Int, into found: inout [Found]) {
    guard nesting <= maxNesting, YAMLKeys.unusual(in: text) == nil,
      let documents = try? Yams.compose_all(yaml: text)
    else { return }
    for document in documents { collect(document, under: nil, nesting: nesting, depth: 0, into: &found) }
  }

  private static func collect(
    _ node: Node, under parent: String?, nesting: Int, depth: Int, into found: inout [Found]
  ) {
    guard depth < maxDepth else { return }
    if let sequence = node.sequence {
      for value in sequence { collect(value, under: parent, nesting: nesting, depth: depth + 1, into: &found) }
    }
    for (key, value) in node.mapping ?? [:] {
      let name = key.string ?? ""
      let line = key.mark?.line ?? 0
      if let text = value.string {
        if textKeys.contains(name) || name == "text" && parent == "logFormat" {
          add(text, line, to: &found)
        } else if text.contains("accessLogFormat") || text.contains("logFormat") {
          collect(text, nesting: nesting + 1, into: &found)
        }
      } else if value.mapping != nil, objectKeys.contains(name), name != "labels" || parent == "logFormat" {
        if let object = json(value) { add(object, line, to: &found) }
      } else {
        collect(value, under: name, nesting: nesting, depth: depth + 1, into: &found)
      }
    }
  }

  private static func add(_ format: String, _ line: Int, to found: inout [Found]) {
    guard !format.isEmpty, !found.contains(where: { $0.format == format }) else { return }
    found.append(Found(format: format, line: line))
  }

  /// The node as JSON text; values stay texts, as Envoy's formatter sees them.
  private static func json(_ node: Node) -> String? {
    func value(_ node: Node) -> Any {
      if let mapping = node.mapping {
        var object: [String: Any] = [:]
        for (key, child) in mapping { object[key.string ?? ""] = value(child) }
        return object
      }
      return node.sequence.map { $0.map(value) } ?? node.string ?? ""
    }
    guard
      let encoded = try? JSONSerialization.data(
        withJSONObject: value(node), options: [.sortedKeys, .withoutEscapingSlashes])
    else { return nil }
    return String(decoding: encoded, as: UTF8.self)
  }
}
