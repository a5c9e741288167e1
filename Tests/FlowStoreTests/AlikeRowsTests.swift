import Flows
import Testing

@testable import FlowStore

/// Rows are told apart without SQLite's sorting.
@Suite("Rows shown alike")
struct AlikeRowsTests {
  @Test("groups, and their order, are those of SQL, whatever clients wrote into the names")
  func order() throws {
    let names: [String?] = [
      nil, "", "a", "a\u{0}", "aa", "abcdefgh", "abcdefghi", "abcdefgh\u{0}", "caf\u{E9}", "cafe\u{301}", "z",
      "\u{10FFFF}", "\u{FFFD}", String(repeating: "long-", count: 60), String(repeating: "long-", count: 60) + "x",
    ]
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var log = LogRecord(path: "/var/log/sidecar.log")
    let batch = FlowBatch(capacity: 1)
    let ports: [UInt16] = [443, 0, 80, 65_535]
    batch.newDestinations = (0..<9_000).map { (number: Int) -> Destination in
      // More groups than the table has room for at first.
      let host: String? = number < 4_500 ? names[number % names.count] : "host-\(number % 3_000)"
      let upstream = Endpoint(ip: "203.0.113.\(number % 250)", port: UInt16(number))
      return Destination(
        host: host, hostOrigin: .authority, port: ports[number % 4], traffic: number % 3 == 0 ? .tcp : .http,
        upstream: upstream)
    }
    batch.newSources = [
      Source(log: 0, proxy: .envoy, shape: .outbound, clientIP: "10.80.3.1", proxyIP: "10.80.3.1")
    ]
    batch.newOutcomes = [Outcome(protocol: "HTTP/1.1", method: "GET", status: 200)]
    var row = FlowRow()
    (row.startedAtMs, row.line, row.pathTemplate) = (noon, 1, -1)
    (row.source, row.destination, row.outcome) = (0, 0, 0)
    batch.rows[0] = row
    batch.count = 1
    batch.storedByFormat = ["istio-1.8": 1]
    (batch.firstMs, batch.lastMs) = (noon, noon)
    try store.store(batch, into: &log)
    try store.commit()
    let reader = try FlowReader(path: store.path)
    for columns in ["host, port", "traffic, host", "port, traffic", "id, host"] {
      let found = try reader.alike(
        "select id, \(columns) from destination where :host is null or host glob :host", arguments: ["host": "*[eo]*"],
        mostIDs: 8_000)
      var groups: [Int32] = []
      var values: [[Value]] = []
      try reader.query(
        """
        select id, \(columns)
        from destination
        where host glob '*[eo]*' and id < 8000
        order by \(columns), id
        """
      ) { row in
        let (id, shown) = (Int(row[0].integer ?? 0), Array(row.dropFirst()))
        // Swift takes two spellings of one letter for the same, SQL does not.
        if values.last.map({ Self.bytes($0) != Self.bytes(shown) }) ?? true { values.append(shown) }
        if groups.count <= id { groups += repeatElement(-1, count: id + 1 - groups.count) }
        groups[id] = Int32(values.count - 1)
      }
      #expect(values.count > 3)
      #expect(found.values.map(Self.bytes) == values.map(Self.bytes), "\(columns)")
      #expect(found.groups == groups, "\(columns)")
    }
  }

  private static func bytes(_ row: [Value]) -> [[UInt8]] {
    row.map { value in
      switch value {
      case .null: []
      case .text(let text): [1] + Array(text.utf8)
      default: Array("\(value.integer ?? -1)".utf8)
      }
    }
  }
}
