internal import Flows
internal import Yams

extension Policy {
  /// Reads a policy from the text of a file; `file` is only named in messages.
  public static func load(yaml: String, file: String) throws(PolicyError) -> Policy {
    var policy = Policy()
    policy.hash = hash(of: yaml)
    var reader = PolicyReader(file: file)
    guard let root = try compose(yaml, file: file), !reader.isNull(root) else {
      policy.isBlank = true
      return policy
    }
    let sections = try reader.fields(
      of: root, "the policy",
      known: ["mesh", "pods", "gateways", "sni_proxies", "forward_proxies", "exceptions", "expected"])
    policy.`internal` = try reader.internals(sections["mesh"]?.value)
    for item in try reader.items(of: sections["pods"]?.value, "pods") {
      policy.pods.append(try reader.pod(item))
    }
    policy.gateways = try reader.proxies(sections["gateways"]?.value, "gateways", one: "a gateway")
    policy.sniProxies = try reader.proxies(sections["sni_proxies"]?.value, "sni_proxies", one: "an SNI proxy")
    policy.forwardProxies = try reader.proxies(
      sections["forward_proxies"]?.value, "forward_proxies", one: "a forward proxy")
    for item in try reader.items(of: sections["exceptions"]?.value, "exceptions") {
      policy.exceptions.append(try reader.exception(item))
    }
    for item in try reader.items(of: sections["expected"]?.value, "expected") {
      policy.expected.append(try reader.expected(item))
    }
    reader.warnDuplicates(sections["pods"]?.value, "pods")
    for name in ["gateways", "sni_proxies", "forward_proxies"] {
      reader.warnDuplicates(sections[name]?.value, name)
    }
    policy.warnings = reader.warnings.sorted { ($0.line, $0.column) < ($1.line, $1.column) }
    return policy
  }

  private static func compose(_ yaml: String, file: String) throws(PolicyError) -> Node? {
    if let (line, column) = YAMLKeys.unusual(in: yaml) {
      throw PolicyError(
        file: file, line: line, column: column, message: "a key is a list, a mapping or an alias",
        help: "keys are words; quote one that begins with `*`, `[` or `{`")
    }
    do {
      return try Yams.compose(yaml: yaml)
    } catch let error as YamlError {
      throw PolicyError(error, file: file)
    } catch {
      throw PolicyError(file: file, line: 1, column: 1, message: "not readable as YAML: \(error)")
    }
  }
}

extension PolicyError {
  fileprivate init(_ error: YamlError, file: String) {
    switch error {
    case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
      .composer(let context, let problem, let mark, _):
      let prefix = context.map { "\($0.text) " } ?? ""
      self.init(
        file: file, line: mark.line, column: mark.column, message: "not valid YAML: \(prefix)\(problem)",
        help: prefix.contains("alias")
          ? "quote patterns that begin with `*`: \"*.example.com\""
          : problem.contains("cannot start any token") ? "indent with blanks: YAML allows no tabs" : nil)
    case .duplicatedKeysInMapping(let duplicates, let context):
      let names = duplicates.sorted().map { "`\($0)`" }.joined(separator: ", ")
      self.init(
        file: file, line: context.mark.line, column: context.mark.column, message: "the key \(names) stands twice",
        help: "merge the entries under one key")
    case .reader(let problem, _, _, _):
      self.init(file: file, line: 1, column: 1, message: "not readable as YAML: \(problem)")
    default:
      self.init(file: file, line: 1, column: 1, message: "not readable as YAML")
    }
  }
}

extension PolicyReader {
  fileprivate mutating func internals(_ node: Node?) throws(PolicyError) -> [Policy.Internal] {
    guard let node, !isNull(node) else { return [] }
    let mesh = try fields(of: node, "mesh", known: ["internal"])
    var result: [Policy.Internal] = []
    for item in try items(of: mesh["internal"]?.value, "mesh.internal") {
      guard item.mapping != nil else {
        var entry = try self.internal(item)
        entry.line = line(of: item)
        warnOfOutside(entry.range, at: item)
        result.append(entry)
        continue
      }
      let entry = try fields(of: item, "an item of mesh.internal", known: ["address", "host", "from", "until"])
      var both: [Policy.Internal] = []
      for address in try oneOrMore(of: entry["address"]?.value, "address") {
        let range = try range(address, "address")
        warnOfOutside(range, at: address)
        both.append(Policy.Internal(range: range, host: nil))
      }
      for host in try oneOrMore(of: entry["host"]?.value, "host") {
        both.append(Policy.Internal(range: nil, host: try hostGlob(host, "host")))
      }
      guard !both.isEmpty else {
        throw failure(item, "an item of mesh.internal names neither `address` nor `host`")
      }
      let validity = try validity(entry)
      let line = line(of: item)
      result += both.map { Policy.Internal(range: $0.range, host: $0.host, validity: validity, line: line) }
    }
    return result
  }

  private mutating func warnOfOutside(_ range: AddressRange?, at node: Node) {
    guard let range else { return }
    if range.isEverything {
      warn(node, "this declares every address to be inside the mesh: nothing can be found to leave it")
    } else if range.isVast {
      warn(node, "this declares a large part of the Internet to be inside the mesh: nothing that goes there is found")
    } else if let part = range.privatePart {
      warn(
        node,
        "this declares public addresses around \(part) to be inside the mesh: nothing that goes there is found; is \(part) meant?"
      )
    } else if range.base.isIPv4, range.holdsPublicAddresses {
      // Of IPv6, pods have public addresses as a rule.
      warn(
        node, "this declares public addresses to be inside the mesh: nothing that goes there is found; are all yours?")
    }
  }

  /// A host pattern when it holds a letter or a `*` and neither `:` nor `/`; else an address or a range.
  private func `internal`(_ node: Node) throws(PolicyError) -> Policy.Internal {
    let text = try text(node, "mesh.internal")
    let bytes = text.utf8
    let looksLikeAddress = bytes.allSatisfy {
      (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == UInt8(ascii: ".")
    }
    return looksLikeAddress || bytes.contains(UInt8(ascii: ":")) || bytes.contains(UInt8(ascii: "/"))
      ? Policy.Internal(range: try range(node, "mesh.internal"), host: nil)
      : Policy.Internal(range: nil, host: try hostGlob(node, "mesh.internal"))
  }

  fileprivate mutating func pod(_ node: Node) throws(PolicyError) -> Policy.Pod {
    let entry = try fields(of: node, "a pod", known: ["name", "addresses", "sidecar", "from", "until"])
    let name = try required(entry, "name", in: node, "a pod")
    let addresses = try ranges(entry["addresses"]?.value, "addresses")
    guard !addresses.isEmpty else {
      throw failure(
        entry["addresses"]?.value ?? node, "the pod `\(name)` has no addresses", help: "write `addresses: [10.80.3.11]`"
      )
    }
    let sidecar: Bool? = if let value = entry["sidecar"]?.value { try flag(value, "sidecar") } else { nil }
    return Policy.Pod(
      name: name, addresses: addresses, hasSidecar: sidecar, validity: try validity(entry), line: line(of: node))
  }

  fileprivate mutating func proxies(
    _ node: Node?, _ section: String, one what: String
  ) throws(PolicyError) -> [Policy.Proxy] {
    var result: [Policy.Proxy] = []
    for item in try items(of: node, section) {
      let entry = try fields(of: item, what, known: ["name", "hosts", "addresses", "from", "until"])
      let name = try required(entry, "name", in: item, what)
      let hosts = try hostGlobs(entry["hosts"]?.value, "hosts")
      let addresses = try ranges(entry["addresses"]?.value, "addresses")
      guard !hosts.isEmpty || !addresses.isEmpty else {
        throw failure(
          item, "\(what) `\(name)` has neither hosts nor addresses: nothing could ever match it",
          help: "write its registry host under `hosts`, its pod addresses under `addresses`")
      }
      for range in addresses where range.isEverything {
        warn(item, "`\(name)` covers every address: all traffic will seem to pass through it")
      }
      for range in addresses where range.isVast && !range.isEverything {
        warn(item, "`\(name)` covers a large part of the Internet: all traffic there will seem to pass through it")
      }
      for range in addresses where !range.isVast {
        guard let part = range.privatePart else { continue }
        warn(
          item,
          "`\(name)` covers public addresses around \(part): all traffic there will seem to pass through it; is \(part) meant?"
        )
      }
      for host in hosts where host.isSweeping {
        let what =
          host.pattern == "*" ? "every registry host: all" : "registry hosts of many owners (\(host.pattern)): their"
        warn(item, "`\(name)` covers \(what) ServiceEntry traffic will seem to pass through it")
      }
      result.append(
        Policy.Proxy(
          name: name, hosts: hosts, addresses: addresses, validity: try validity(entry), line: line(of: item)))
    }
    return result
  }

  fileprivate mutating func exception(_ node: Node) throws(PolicyError) -> Policy.Exception {
    let entry = try fields(
      of: node, "an exception",
      known: ["name", "host", "addresses", "port", "source", "owner", "reason", "expires", "from", "until"])
    let hosts = try hostGlobs(entry["host"]?.value, "host")
    let addresses = try ranges(entry["addresses"]?.value, "addresses")
    var ports: [UInt16] = []
    for item in try oneOrMore(of: entry["port"]?.value, "port") { ports.append(try port(item, "port")) }
    let sources = try ranges(entry["source"]?.value, "source")
    // An empty criterion would be one that is always met.
    let counts = [
      ("host", hosts.count), ("addresses", addresses.count), ("port", ports.count), ("source", sources.count),
    ]
    for (key, count) in counts where count == 0 {
      guard let value = entry[key]?.value else { continue }
      throw failure(value, "`\(key)` of an exception is empty", help: "say which, or leave the key out")
    }
    guard !hosts.isEmpty || !addresses.isEmpty || !ports.isEmpty || !sources.isEmpty else {
      throw failure(
        node, "this exception would allow everything", help: "give at least one of host, addresses, port, source")
    }
    var optional: [String: String] = [:]
    for key in ["name", "owner", "reason"] {
      if let value = entry[key]?.value, !isNull(value) { optional[key] = try text(value, key) }
    }
    for key in ["owner", "reason", "expires"] where entry[key] == nil {
      warn(node, "an exception should have `\(key)`")
    }
    var exception = Policy.Exception(
      label: "", hosts: hosts, addresses: addresses, ports: ports, sources: sources,
      owner: optional["owner"] ?? "", reason: optional["reason"] ?? "", validity: try validity(entry),
      line: line(of: node))
    if let value = entry["expires"]?.value {
      let expires = try time(value, "expires", endOfDay: true)
      guard exception.validity.fromMs < expires else {
        throw failure(value, "`expires` is not after `from`: the exception would never hold")
      }
      exception.expiresMs = expires
      exception.validity.untilMs = min(exception.validity.untilMs, expires)
    }
    exception.label = optional["name"] ?? label(entry)
    return exception
  }

  /// The criteria as written: `*.example.com 203.0.113.0/24 port 443 from 10.80.3.0/24`.
  private func label(_ entry: [String: (key: Node, value: Node)]) -> String {
    func words(_ key: String) -> String? {
      guard let node = entry[key]?.value, !isNull(node) else { return nil }
      let nodes = node.sequence.map(Array.init) ?? [node]
      return nodes.compactMap { $0.scalar?.string }.joined(separator: ",")
    }
    return [
      words("host"), words("addresses"), words("port").map { "port \($0)" }, words("source").map { "from \($0)" },
    ].compactMap { $0 }.joined(separator: " ")
  }

  fileprivate func expected(_ node: Node) throws(PolicyError) -> Policy.Expected {
    let entry = try fields(of: node, "an expected log", known: ["log", "role", "max_silence", "from", "until"])
    let log = try required(entry, "log", in: node, "an expected log")
    var role: Role?
    if let value = entry["role"]?.value {
      let word = try text(value, "role")
      role = Role(rawValue: word)
      guard role != nil else {
        let known = Role.allCases.map(\.rawValue)
        let hint = nearMiss(word, among: known).map { "did you mean `\($0)`? " } ?? ""
        throw failure(value, "unknown role `\(word)`", help: "\(hint)roles: \(known.joined(separator: ", "))")
      }
    }
    let silence: Int64? =
      if let value = entry["max_silence"]?.value { try duration(value, "max_silence") } else { nil }
    return Policy.Expected(
      log: HostGlob(log), role: role, maxSilenceMs: silence, validity: try validity(entry), line: line(of: node))
  }

  private func line(of node: Node) -> Int { node.mark?.line ?? 0 }

  private func required(
    _ entry: [String: (key: Node, value: Node)], _ key: String, in node: Node, _ what: String
  ) throws(PolicyError) -> String {
    guard let value = entry[key]?.value else {
      throw failure(node, "\(what) has no `\(key)`", help: "add `\(key): ...`")
    }
    return try text(value, key)
  }

  private func validity(_ entry: [String: (key: Node, value: Node)]) throws(PolicyError) -> Policy.Validity {
    var validity = Policy.Validity()
    if let value = entry["from"]?.value { validity.fromMs = try time(value, "from", endOfDay: false) }
    if let value = entry["until"]?.value {
      validity.untilMs = try time(value, "until", endOfDay: true)
      guard validity.fromMs < validity.untilMs else {
        throw failure(value, "`until` is not after `from`: the entry would never hold")
      }
    }
    return validity
  }

  /// The same name twice is allowed, because an address may change over time, but it must then differ in time.
  fileprivate mutating func warnDuplicates(_ node: Node?, _ section: String) {
    var seen: [String: Int] = [:]
    for item in node?.sequence.map(Array.init) ?? [] {
      guard let mapping = item.mapping, let name = mapping["name"], let text = name.scalar?.string,
        mapping["from"] == nil, mapping["until"] == nil
      else { continue }
      if let first = seen[text] {
        warn(name, "`\(text)` stands twice in \(section), first in line \(first); give `from` and `until` if it moved")
      } else {
        seen[text] = name.mark?.line ?? 0
      }
    }
  }
}
