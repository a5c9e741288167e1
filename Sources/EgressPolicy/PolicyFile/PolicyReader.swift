internal import Flows
internal import Yams

/// Reads YAML nodes and turns whatever is wrong into a `PolicyError` at its place.
struct PolicyReader {
  let file: String
  var warnings: [Policy.Warning] = []

  init(file: String) { self.file = file }

  func failure(_ node: Node, _ message: String, help: String? = nil) -> PolicyError {
    PolicyError(
      file: file, line: node.mark?.line ?? 1, column: node.mark?.column ?? 1, message: message, help: help)
  }

  mutating func warn(_ node: Node, _ message: String) {
    warnings.append(
      Policy.Warning(file: file, line: node.mark?.line ?? 1, column: node.mark?.column ?? 1, message: message))
  }

  /// A key with nothing behind it, `~` or `null`.
  func isNull(_ node: Node) -> Bool {
    guard let scalar = node.scalar, scalar.style == .plain else { return false }
    return scalar.string.isEmpty || ["~", "null", "Null", "NULL"].contains(scalar.string)
  }

  /// The values of a mapping whose keys all belong to `known`.
  func fields(
    of node: Node, _ what: String, known: [String]
  ) throws(PolicyError) -> [String: (key: Node, value: Node)] {
    guard let mapping = node.mapping else {
      throw failure(
        node, "\(what) must be a mapping, found \(kind(node))",
        help: "write `key: value` pairs: \(known.joined(separator: ", "))")
    }
    var result: [String: (key: Node, value: Node)] = [:]
    for (key, value) in mapping {
      guard let name = key.scalar?.string else {
        throw failure(key, "a key of \(what) must be a word, found \(kind(key))")
      }
      guard known.contains(name) else {
        let hint = nearMiss(name, among: known).map { "did you mean `\($0)`? " } ?? ""
        throw failure(
          key, "unknown key `\(name)` in \(what)", help: "\(hint)known keys: \(known.joined(separator: ", "))")
      }
      result[name] = (key, value)
    }
    return result
  }

  /// The items of a list; a missing or empty value is an empty list.
  func items(of node: Node?, _ what: String) throws(PolicyError) -> [Node] {
    guard let node, !isNull(node) else { return [] }
    guard let sequence = node.sequence else {
      throw failure(
        node, "\(what) must be a list, found \(kind(node))", help: "write `[...]`, or one `- ...` per line")
    }
    return Array(sequence)
  }

  /// The items of a list, where one item may stand for a list of one.
  func oneOrMore(of node: Node?, _ what: String) throws(PolicyError) -> [Node] {
    guard let node, !isNull(node) else { return [] }
    return node.scalar != nil ? [node] : try items(of: node, what)
  }

  func text(_ node: Node, _ what: String) throws(PolicyError) -> String {
    guard let scalar = node.scalar else {
      throw failure(node, "\(what) must be text, found \(kind(node))")
    }
    guard !scalar.string.isEmpty else { throw failure(node, "\(what) is empty") }
    return scalar.string
  }

  func range(_ node: Node, _ what: String) throws(PolicyError) -> AddressRange {
    let text = try text(node, what)
    do {
      return try AddressRange(parsing: text)
    } catch {
      switch error {
      case .notAnAddress:
        throw failure(
          node, "\(what): `\(text)` is no address",
          help: "write an address or a range, without a port: 10.80.3.11, 10.80.0.0/16, 2001:db8::/32")
      case .prefixNotANumber:
        throw failure(node, "\(what): the prefix of `\(text)` is no number", help: "write it as in 10.80.0.0/16")
      case .prefixTooLong(let limit):
        throw failure(node, "\(what): the prefix of `\(text)` is longer than \(limit) bits")
      case .bitsBelowPrefix:
        throw failure(
          node, "\(what): `\(text)` has bits set outside its prefix",
          help: "write the first address of the range, or drop the prefix to mean this address alone")
      }
    }
  }

  func ranges(_ node: Node?, _ what: String) throws(PolicyError) -> [AddressRange] {
    var result: [AddressRange] = []
    for item in try oneOrMore(of: node, what) { result.append(try range(item, what)) }
    return result
  }

  func hostGlob(_ node: Node, _ what: String) throws(PolicyError) -> HostGlob {
    let text = try text(node, what)
    if text.utf8.contains(where: { $0 <= UInt8(ascii: " ") || $0 == UInt8(ascii: "/") }) {
      throw failure(
        node, "\(what): `\(text)` is no host name",
        help: "write a name or a pattern such as *.example.com, without scheme or path")
    }
    if let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")), UInt16(text[text.index(after: colon)...]) != nil {
      throw failure(node, "\(what): `\(text)` carries a port", help: "write the name alone")
    }
    return HostGlob(text)
  }

  func hostGlobs(_ node: Node?, _ what: String) throws(PolicyError) -> [HostGlob] {
    var result: [HostGlob] = []
    for item in try oneOrMore(of: node, what) { result.append(try hostGlob(item, what)) }
    return result
  }

  func port(_ node: Node, _ what: String) throws(PolicyError) -> UInt16 {
    let text = try text(node, what)
    guard let port = UInt16(text), port > 0 else {
      throw failure(node, "\(what): `\(text)` is no port", help: "write a number from 1 to 65535")
    }
    return port
  }

  func flag(_ node: Node, _ what: String) throws(PolicyError) -> Bool {
    switch try text(node, what) {
    case "true", "True", "TRUE", "yes", "on": return true
    case "false", "False", "FALSE", "no", "off": return false
    case let other:
      throw failure(node, "\(what): `\(other)` is neither true nor false", help: "write true or false")
    }
  }

  func time(_ node: Node, _ what: String, endOfDay: Bool) throws(PolicyError) -> Int64 {
    let text = try text(node, what)
    guard let ms = PolicyTime.milliseconds(text, endOfDay: endOfDay) else {
      throw failure(
        node, "\(what): `\(text)` is no date or time",
        help: "write 2027-01-31 or 2027-01-31T12:00:00Z; times without an offset are UTC")
    }
    return ms
  }

  func duration(_ node: Node, _ what: String) throws(PolicyError) -> Int64 {
    let text = try text(node, what)
    guard let ms = PolicyTime.durationMs(text) else {
      throw failure(node, "\(what): `\(text)` is no length of time", help: "write 90s, 15m, 1h30m or 2d")
    }
    return ms
  }

  private func kind(_ node: Node) -> String {
    switch node {
    case .scalar(let scalar): isNull(node) ? "nothing" : "`\(scalar.string)`"
    case .mapping: "a mapping"
    case .sequence: "a list"
    case .alias: "an alias"
    }
  }
}
