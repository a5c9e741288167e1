internal import Foundation

/// The simulated mesh as a folder: `logs/`, what came late in `late/`, `policy.yaml`, `nginx.conf`, and `truth.tsv`.
struct MeshFiles {
  let folder: URL
  let world: World
  /// Places of the lines that were read, in the order in which they stand in the files: by log, early ones first.
  private(set) var order: [Int32] = []
  /// Places in `order` at which each log's early and late lines begin; late ones stand at `logs + log`.
  private(set) var ranges: [Range<Int>] = []

  var logs: String { folder.appending(path: "logs").path }
  var late: String { folder.appending(path: "late").path }
  var policy: String { folder.appending(path: "policy.yaml").path }
  var format: String { folder.appending(path: "nginx.conf").path }

  func path(of log: Int, isLate: Bool) -> String {
    (isLate ? late : logs) + "/" + world.folder(of: log) + (isLate ? "/1.log" : "/0.log")
  }

  /// The path within the folder.
  func name(of log: Int, isLate: Bool) -> String {
    String(path(of: log, isLate: isLate).dropFirst(folder.path.count + 1))
  }

  init(_ traffic: Traffic, in folder: URL) throws {
    self.folder = folder
    world = traffic.world
    let kinds = 2 * World.logs
    var keys: [(key: UInt64, place: Int32)] = []
    keys.reserveCapacity(traffic.lines.count)
    for (place, line) in traffic.lines.enumerated() where line.isRead {
      let kind = UInt64(line.log) + (line.fate == .late ? UInt64(World.logs) : 0)
      // Times may lie hours before the start.
      keys.append((kind << 44 | UInt64(line.written + 1 << 42), Int32(place)))
    }
    keys.sort { ($0.key, $0.place) < ($1.key, $1.place) }
    order = keys.map(\.place)
    var first = 0
    for kind in 0..<kinds {
      var last = first
      while last < keys.count, keys[last].key >> 44 == UInt64(kind) { last += 1 }
      ranges.append(first..<last)
      first = last
    }
    for part in [logs, late] {
      if FileManager.default.fileExists(atPath: part) { try FileManager.default.removeItem(atPath: part) }
      try FileManager.default.createDirectory(atPath: part, withIntermediateDirectories: true)
    }
    try writeLogs(traffic.lines)
    try Data(policyText.utf8).write(to: URL(filePath: policy))
    try Data("log_format ports '\(LineText.formatWithPorts)';\n".utf8).write(to: URL(filePath: format))
  }

  private func writeLogs(_ lines: [Line]) throws {
    let writer = LineText(world)
    var text = TextBuffer()
    for (kind, range) in ranges.enumerated() where !range.isEmpty {
      let path = path(of: kind % World.logs, isLate: kind >= World.logs)
      try FileManager.default.createDirectory(
        atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
      let file = try FileHandle.new(path)
      for place in order[range] {
        writer.write(lines[Int(place)], to: &text)
        if text.bytes.count > TextBuffer.flushSize { try text.write(to: file) }
      }
      try text.write(to: file)
      try file.close()
    }
  }

  /// For people who look for a miss: each line's journey and truth, tab-separated.
  func writeTruth(_ lines: [Line]) throws {
    let path = folder.appending(path: "truth.tsv").path
    let file = try FileHandle.new(path)
    var text = TextBuffer()
    text.add("log\tline\tway\tjoinable\tbypass\tclaim\toutcome\n")
    for (kind, range) in ranges.enumerated() {
      let name = Array(self.name(of: kind % World.logs, isLate: kind >= World.logs).utf8)
      for (number, place) in order[range].enumerated() {
        let line = lines[Int(place)]
        text.add(name)
        text.add("\t")
        text.add(Int64(number + 1))
        text.add("\t")
        text.add(Int64(line.way))
        text.add(line.before < 0 ? "\tfirst\t" : line.isJoinable ? "\tyes\t" : "\tno\t")
        text.add(Array((line.bypass.word ?? "-").utf8))
        text.add("\t")
        text.add(Array("\(line.claim)".utf8))
        text.add("\t")
        text.add(Array((line.outcome.word ?? "any").utf8))
        text.add("\n")
        if text.bytes.count > TextBuffer.flushSize { try text.write(to: file) }
      }
    }
    try text.write(to: file)
    try file.close()
  }

  private var policyText: String {
    var text = "# The simulated mesh, as its owner declares it.\n"
    text += "mesh: { internal: [10.1.0.0/16, 10.2.0.0/16, \"fd00:10::/32\", \"*.svc.cluster.local\"] }\npods:\n"
    for pod in 0..<World.pods {
      let hasSidecar = World.kind(of: pod) != .noSidecar
      text += "  - { name: \(world.podNames[pod]), addresses: [\"\(world.addresses[pod])\"], sidecar: \(hasSidecar) }\n"
    }
    text += "gateways:\n"
    for gateway in 0..<World.gateways {
      let addresses = [World.gateway(gateway), World.gateway(gateway, isV6: true)].map { world.addresses[Int($0)] }
      text += "  - { name: egress-\(gateway), hosts: [egress-\(gateway).istio-system.svc.cluster.local], "
      text += "addresses: [\(addresses[0]), \"\(addresses[1])\"] }\n"
    }
    text += "sni_proxies: [ { name: sni-proxy, addresses: [127.0.0.1] } ]\n"
    text += "forward_proxies: [ { name: squid, hosts: [proxy.corp.example], "
    text += "addresses: [\(world.addresses[Int(World.squid)])] } ]\n"
    return text
  }
}

/// Something without which nothing can be judged.
struct SimulationError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}

extension FileHandle {
  /// An empty file, open for writing.
  static func new(_ path: String) throws -> FileHandle {
    guard FileManager.default.createFile(atPath: path, contents: nil), let file = FileHandle(forWritingAtPath: path)
    else { throw SimulationError("\(path): cannot write") }
    return file
  }
}
