internal import Flows

/// A `ClusterObject` as a row of `topology_object`.
enum ClusterObjectRow {
  static let columns = """
    kind, namespace, name, hash, workload, node, host_network, proxy, addresses, hosts, labels, traits, opt_outs, \
    started_ms, ended_ms
    """

  static func values(of object: ClusterObject) -> [Value] {
    [
      .text(object.kind.rawValue), .text(object.namespace), .text(object.name), .integer(hash(of: object)),
      Value(object.workload), Value(object.node), .integer(object.isHostNetwork ? 1 : 0),
      Value(object.proxy?.rawValue), .text(json(object.addresses)), .text(json(object.hosts)),
      .text(json(object.labels)), .text(json(object.traits)), .text(json(object.optOuts)), Value(object.startedMs),
      Value(object.endedMs),
    ]
  }

  /// From the columns as `columns` lists them; nil for a kind that this program does not know.
  static func object(_ row: Statement, from column: Int32) -> ClusterObject? {
    guard let kind = row.text(column).flatMap(ClusterObject.Kind.init(rawValue:)) else { return nil }
    var object = ClusterObject(kind: kind, namespace: row.text(column + 1) ?? "", name: row.text(column + 2) ?? "")
    object.workload = row.text(column + 4)
    object.node = row.text(column + 5)
    object.isHostNetwork = row.int(column + 6) == 1
    object.proxy = row.text(column + 7).flatMap(ClusterObject.Proxy.init(rawValue:))
    object.addresses = texts(row.text(column + 8))
    object.hosts = texts(row.text(column + 9))
    let pairs = texts(row.text(column + 10))
    for index in stride(from: 0, to: pairs.count - 1, by: 2) { object.labels[pairs[index]] = pairs[index + 1] }
    object.traits = texts(row.text(column + 11))
    object.optOuts = texts(row.text(column + 12))
    object.startedMs = row.optionalInt(column + 13)
    object.endedMs = row.optionalInt(column + 14)
    return object
  }

  /// Of everything the row holds; equal hashes are looked at column by column.
  static func hash(of object: ClusterObject) -> Int64 {
    var hasher = StableHash()
    hasher.combine(object.kind.rawValue)
    hasher.combine(object.namespace)
    hasher.combine(object.name)
    hasher.combine(object.workload)
    hasher.combine(object.node)
    hasher.combine(Int64(object.isHostNetwork ? 1 : 0))
    hasher.combine(object.proxy?.rawValue)
    for list in [object.addresses, object.hosts, object.traits, object.optOuts] {
      hasher.combine(Int64(list.count))
      for text in list { hasher.combine(text) }
    }
    for (key, value) in object.labels.sorted(by: { $0.key < $1.key }) {
      hasher.combine(key)
      hasher.combine(value)
    }
    hasher.combine(object.startedMs)
    hasher.combine(object.endedMs)
    return hasher.value
  }

  // MARK: - JSON

  static func json(_ texts: [String]) -> String {
    "[" + texts.map(quoted).joined(separator: ",") + "]"
  }

  static func json(_ texts: [String: String]) -> String {
    let pairs = texts.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\(quoted($0.value))" }
    return "{" + pairs.joined(separator: ",") + "}"
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  /// All texts of a list or an object that `json` wrote, in order.
  static func texts(_ json: String?) -> [String] {
    var result: [String] = []
    var text: String?
    var escape: [Unicode.Scalar]?
    for scalar in (json ?? "").unicodeScalars {
      if var digits = escape {
        escape = nil
        if digits.isEmpty, scalar != "u" {
          text?.unicodeScalars.append(scalar)
        } else {
          digits.append(scalar)
          if digits.count < 5 {
            escape = digits
          } else {
            let number = UInt32(String(String.UnicodeScalarView(digits.dropFirst())), radix: 16)
            text?.unicodeScalars.append(number.flatMap(Unicode.Scalar.init) ?? "\u{FFFD}")
          }
        }
      } else if scalar == "\"" {
        if let ended = text {
          result.append(ended)
          text = nil
        } else {
          text = ""
        }
      } else if text != nil {
        if scalar == "\\" { escape = [] } else { text?.unicodeScalars.append(scalar) }
      }
    }
    return result
  }
}
