import Flows
import GRDB
import Foundation
import Testing

@testable import FlowStore

@Suite("storing batches")
struct AppendTests {
  @Test("a batch comes out of the view flows as it went in")
  func roundTrip() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "/var/log/envoy.log")
    try store.store(maker.batch(count: 7), into: &log)
    try store.commit()
    store.close()
    let reader = try FlowReader(path: folder.path())
    let (columns, rows) = try reader.rows("select * from flows order by id")
    #expect(
      columns == [
        "id", "started_at", "started_at_ms", "duration_ms", "proxy", "role", "log", "line", "source_ip",
        "source_port", "source", "host", "port", "destination_ip", "protocol", "method", "url_path", "status", "path",
        "outcome", "reason", "bypass", "bytes_sent", "bytes_received", "upstream_cluster", "route_name",
        "response_flags", "request_id", "journey", "warnings",
      ])
    #expect(rows.count == 7)
    #expect(
      rows[4] == [
        5, "2026-11-01T12:00:00.004Z", .integer(noon + 4), 4, "envoy", "unknown", "/var/log/envoy.log", 5, "10.80.3.0",
        50000, "sleep-0", "host-1.example.com", 443, "203.0.113.1", "HTTP/1.1", "GET", "/", 200, "unknown", "unknown",
        nil, nil, 10, 4, "PassthroughCluster", nil, nil, "fedcba9800000004", nil, nil,
      ])
    #expect(rows[3].last == "truncated,xff-source")
    #expect(try reader.check() == [])
  }

  @Test("what the proxy did not log is NULL, not 0 and not -1")
  func nulls() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    let batch = maker.batch(count: 1)
    batch.rows[0].durationMs = -1
    batch.rows[0].sent = -1
    batch.rows[0].received = -1
    batch.rows[0].requestHash = 0
    batch.rows[0].pathTemplate = -1
    batch.rows[0].sourcePort = 0
    try store.store(batch, into: &log)
    try store.commit()
    let reader = try FlowReader(path: folder.path())
    let row = try reader.rows(
      "select duration_ms, bytes_sent, bytes_received, request_id, url_path, source_port from flows order by id")
    #expect(row.rows == [[nil, nil, nil, nil, nil, nil]])
  }

  @Test(
    "extreme numbers survive", arguments: [Int64.min + 1, -1, 0, 1, 1 << 40, Int64.max])
  func extremes(time: Int64) throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    let batch = maker.batch(count: 1)
    batch.rows[0].startedAtMs = time
    batch.rows[0].received = .max
    batch.rows[0].requestHash = .max
    batch.rows[0].sourcePort = .max
    batch.rows[0].localPort = .max
    try store.store(batch, into: &log)
    try store.commit()
    let reader = try FlowReader(path: folder.path())
    let row = try reader.rows(
      "select started_at_ms, bytes_received, request_hash, source_port, local_port from judged_flow order by id")
    #expect(row.rows == [[.integer(time), .integer(.max), -1, 65535, 65535]])
  }

  @Test("a start before 1970 is written as it was, to the millisecond")
  func beforeTheEpoch() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    let batch = maker.batch(count: 1)
    batch.rows[0].startedAtMs = -1
    try store.store(batch, into: &log)
    try store.commit()
    #expect(try FlowReader(path: folder.path()).value("select started_at from flows") == "1969-12-31T23:59:59.999Z")
  }

  @Test("two parsers, a restarted one and a second run share the entries of the dictionaries")
  func dictionaries() throws {
    let folder = try ScratchFolder()
    var log = LogRecord(path: "a.log")
    func counts() throws -> [Value] {
      try FlowReader(path: folder.path()).rows(
        """
        select (select count(*) from source), (select count(*) from destination), (select count(*) from outcome),
          (select count(*) from path_template), (select count(*) from dictionary_key), (select count(*) from flow)
        """
      ).rows[0]
    }
    do {
      let store = try FlowStore(path: folder.path())
      var maker = BatchMaker()
      try store.store(maker.batch(count: 10, sources: 4, destinations: 5), into: &log)
      // Grows the dictionary that is known.
      try store.store(maker.batch(count: 10, sources: 6, destinations: 9), into: &log)
      try store.commit()
      #expect(try counts() == [6, 9, 2, 2, 19, 20])
      // The same entries again from a parser with ids of its own, and from one that starts anew.
      var second = BatchMaker()
      try store.store(second.batch(count: 10, sources: 6, destinations: 9), into: &log, parser: 1)
      var restarted = BatchMaker()
      try store.store(restarted.batch(count: 10, sources: 3, destinations: 9), into: &log)
      try store.commit()
      #expect(try counts() == [6, 9, 2, 2, 19, 40])
      // Ids of the restarted parser mean its own entries: id 2 is known, id 5 is void.
      let stale = restarted.batch(count: 1)
      stale.rows[0].source = 5
      #expect(throws: StoreError.unknownEntry(kind: "source", id: 5)) { try store.store(stale, into: &log) }
      try store.rollback()
      store.close()
    }
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    log = try store.logs()[0]
    try store.store(maker.batch(count: 1, sources: 6, destinations: 10), into: &log)
    try store.commit()
    #expect(try counts() == [6, 10, 2, 2, 20, 41])
    #expect(try FlowReader(path: folder.path()).check() == [])
  }

  @Test("entries that differ in a single column, or whose hashes collide, stay apart")
  func nearlyEqual() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    let batch = maker.batch(count: 1, sources: 1, destinations: 1)
    let base = Destination(host: "a", traffic: .tcp)
    var variants = [base]
    for change: (inout Destination) -> Void in [
      { $0.host = nil }, { $0.host = "" }, { $0.hostOrigin = .sni }, { $0.port = 1 }, { $0.traffic = .udp },
      { $0.authority = "a" }, { $0.sni = "a" }, { $0.cluster = "a" }, { $0.routeName = "a" },
      { $0.upstream = Endpoint(ip: "::1", port: 0) }, { $0.upstream = Endpoint(ip: "::1", port: 1) },
      { $0.upstreamName = "a" }, { $0.dialled = Endpoint(ip: "::1", port: 0) }, { $0.logsUpstream = false },
      { $0.isWorkloadsOutput = true },
    ] {
      var variant = base
      change(&variant)
      variants.append(variant)
    }
    batch.newDestinations = variants
    try store.store(batch, into: &log)
    try store.commit()
    let facts = try store.facts()
    #expect(facts.destinations.map(\.destination) == variants)
    #expect(Set(variants.map { DictionaryTable.hash($0.storedValues, seed: 7) }).count == variants.count)
    // The worst of hashes: the columns still tell them apart.
    try store.write("test") { db throws(StoreError) in
      let rows = UnsafeMutablePointer<EntryTable.Content>.allocate(capacity: 1)
      rows.initialize(to: EntryTable.Content())
      defer { rows.deinitialize(count: 1).deallocate() }
      let table = try DictionaryTable(
        "destination", kind: 99, columns: Destination.storedColumns, on: db, rows: rows, hash: { _ in 7 })
      var ids: [Int64] = []
      for variant in variants {
        let (id, isNew) = try table.id(of: variant.storedValues, on: db)
        #expect(isNew)
        ids.append(id)
      }
      for (id, variant) in zip(ids, variants) {
        let found = try table.id(of: variant.storedValues, on: db)
        #expect(found == (id, false))
      }
    }
  }

  @Test("entries of a batch get the rows that they get one by one")
  func together() throws {
    let texts =
      ["a", "", "b\u{0}", "\u{202E}", String(repeating: "x", count: 700_000)] + (0..<300).map { "h\($0 % 250)" }
    let entries = texts.enumerated().map { Destination(host: $1, port: UInt16($0 % 3), traffic: .tcp) }
    // Once with good hashes, once with all in a few heaps.
    for heaps in [UInt64.max, 5] {
      func rows(_ add: (DictionaryTable, Database) throws(StoreError) -> [Int64]) throws -> ([Int64], [String]) {
        let folder = try ScratchFolder()
        let store = try FlowStore(path: folder.path())
        return try store.write("test") { db throws(StoreError) in
          let table = try DictionaryTable(
            "destination", kind: 2, columns: Destination.storedColumns, on: db, rows: store.writer.entries,
            hash: { Int64(bitPattern: UInt64(bitPattern: DictionaryTable.hash($0, seed: 7)) % heaps) })
          let ids = try add(table, db)
          let columns = Destination.storedColumns.map { "quote(\($0))" }.joined(separator: " || ' ' || ")
          let row = try db.statement(
            """
            select id || ' ' || \(columns) || ' ' || (select hash from dictionary_key k where k.id = destination.id)
            from destination order by id
            """)
          var texts: [String] = []
          while try row.step() { texts.append(row.text(0) ?? "") }
          return (ids, texts)
        }
      }
      let single = try rows { table, db throws(StoreError) in
        var ids: [Int64] = []
        for entry in entries { ids.append(try table.id(of: entry.storedValues, on: db).id) }
        return ids
      }
      let together = try rows { table, db throws(StoreError) in
        var ids: [Int64] = []
        try table.forget(db)
        let hasNew = try table.add(entries.count, to: &ids, on: db) { entries[$0].storedValues }
        let hasNewAgain = try table.add(entries.count, to: &ids, on: db) { entries[$0].storedValues }
        guard hasNew, !hasNewAgain, ids.prefix(entries.count) == ids.suffix(entries.count) else { return [] }
        return Array(ids.prefix(entries.count))
      }
      #expect(single.0 == together.0)
      #expect(single.1 == together.1)
    }
  }

  @Test("hostile bytes in names are stored as they are")
  func hostile() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "'; drop table flow; --\u{0}\u{1b}[2J")
    let batch = maker.batch(count: 1, sources: 1, destinations: 1)
    let nasty = [
      "<script>alert(1)</script>", "a\u{0}b", "\u{202E}moc", "'\"`;", String(repeating: "x", count: 100_000),
    ]
    batch.newDestinations = nasty.map { Destination(host: $0) }
    try store.store(batch, into: &log)
    try store.commit()
    #expect(try store.facts().destinations.map(\.destination.host) == nasty)
    #expect(try store.logs().map(\.path) == [log.path])
  }

  @Test("rejected lines are kept up to a bound and counted beyond it")
  func rejected() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var log = LogRecord(path: "a.log")
    let batch = FlowBatch(capacity: 1)
    for round in 0..<20 {
      batch.reset()
      for line in 0..<64 {
        batch.rejected.append(
          RejectedLine(
            reason: "unrecognised", line: Int64(round * 100 + line + 1), detail: "",
            text: [0x41, 0xFF, 0x0A] + Array(repeating: 0x42, count: 5_000)))
      }
      batch.rejectedCount = 100
      batch.rejectedByReason = ["unrecognised": 99, "too-long": 1]
      try store.store(batch, into: &log)
    }
    try store.commit()
    let reader = try FlowReader(path: folder.path())
    #expect(try reader.value("select count(*) from rejected_line") == .integer(Int64(FlowStore.maxRejectedPerLog)))
    #expect(
      try reader.rows("select what, name, count from line_count order by name").rows == [
        ["rejected", "too-long", 20], ["rejected", "unrecognised", 1980],
      ])
    #expect(try reader.value("select max(length(text)) <= \(RejectedLine.maxText) from rejected_line") == 1)
    #expect(try reader.check() == [])
  }

  @Test("a mark per batch says at which byte its first line begins")
  func lineMarks() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    for _ in 0..<3 { try store.store(maker.batch(count: 5), into: &log) }
    try store.commit()
    let reader = try FlowReader(path: folder.path())
    #expect(
      try reader.rows("select log, line, position from line_mark order by log, line").rows == [
        [1, 1, 0], [1, 6, 500], [1, 11, 1000],
      ])
  }

  @Test("a log's record comes back as it was written")
  func logRecord() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var log = LogRecord(path: "/var/log/pods/x")
    log.device = -1
    log.inode = .max
    log.generation = 3
    log.isCompressed = true
    log.size = 10
    log.modifiedNs = 11
    log.position = 12
    log.lines = 13
    log.headLength = 14
    log.headHash = -15
    log.tailLength = 16
    log.tailHash = 17
    log.prefixState = [1, 0, 255]
    log.carry = []
    log.pending = 18
    log.namespace = "n"
    log.pod = "p"
    log.container = "c"
    log.label = "l"
    log.declaredRole = .sniProxy
    log.formats = ["istio-1.8", "squid"]
    log.read = 19
    log.stored = 0
    log.rejected = 18
    log.skipped = 1
    log.firstMs = 1
    log.lastMs = 2
    log.firstReadAtMs = 3
    log.lastReadAtMs = 4
    log.note = "truncated"
    var other = LogRecord(path: "b")
    log.id = try store.insert(log: log)
    other.id = try store.insert(log: other)
    #expect(try store.logs() == [log, other])
    other.position = 99
    try store.update(log: other)
    #expect(try store.logs() == [log, other])
  }
}
