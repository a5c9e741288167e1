import Flows
import Foundation
import Testing

@testable import FlowStore

@Suite("asking a store")
struct ReaderTests {
  private static func reader(
    in folder: ScratchFolder, flows: Int = 5, guarded: QueryLimits? = nil
  ) throws -> FlowReader {
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    try store.store(maker.batch(count: flows), into: &log)
    try store.commit()
    store.close()
    return try FlowReader(path: folder.path(), guarded: guarded)
  }

  @Test("columns come first, also of an answer without rows, and rows one by one")
  func streaming() throws {
    let folder = try ScratchFolder()
    let reader = try Self.reader(in: folder)
    var seen: [String] = []
    try reader.query(
      "select id, line as zeile from flow where 0", columns: { seen += $0 }, row: { _ in Issue.record("a row") })
    #expect(seen == ["id", "zeile"])
    struct Enough: Error {}
    var rows = 0
    #expect(throws: Enough.self) {
      try reader.query("select id from flow order by id") { _ in
        rows += 1
        if rows == 2 { throw Enough() }
      }
    }
    #expect(rows == 2)
  }

  @Test("a query may be asked while the rows of another come in")
  func nested() throws {
    let folder = try ScratchFolder()
    let reader = try Self.reader(in: folder)
    var pairs: [[Value]] = []
    try reader.query("select id from source order by id") { source in
      try reader.query(
        "select :source, count(*) from flow where source = :source", arguments: ["source": source[0]]
      ) { pairs.append($0) }
    }
    #expect(pairs == [[1, 3], [2, 2]])
  }

  @Test("all five kinds of values go in and come out")
  func values() throws {
    let folder = try ScratchFolder()
    let reader = try Self.reader(in: folder)
    let values: [String: Value] = [
      "a": nil, "b": .integer(.min), "c": .real(0.5), "d": "t\u{0}x", "e": .blob([0, 255]), "f": "", "g": .blob([]),
    ]
    #expect(
      try reader.rows("select :a, :b, :c, :d, :e, :f, :g", arguments: values).rows == [
        [nil, .integer(.min), .real(0.5), "t\u{0}x", .blob([0, 255]), "", .blob([])]
      ])
    #expect(
      try reader.rows("select typeof(:f), typeof(:g)", arguments: ["f": "", "g": .blob([])]).rows
        == [["text", "blob"]])
  }

  @Test(
    "a parameter without an argument is NULL; an argument without a parameter is an error that lists those there are")
  func parameters() throws {
    let folder = try ScratchFolder()
    let reader = try Self.reader(in: folder)
    let sql = "select count(*) from flow where (:since is null or started_at_ms >= :since) and :host is null"
    #expect(try reader.value(sql) == 5)
    #expect(try reader.value(sql, arguments: ["since": .integer(noon + 3)]) == 2)
    #expect(throws: StoreError.unknownArgument(name: "until", available: ["host", "since"])) {
      try reader.value(sql, arguments: ["until": 1])
    }
    #expect(try reader.parameters(of: sql) == ["since", "host"])
    #expect(
      StoreError.unknownArgument(name: "until", available: ["host", "since"]).description
        == "the query has no parameter until; it has host, since")
  }

  @Test(
    "no statement of a user changes, attaches, loads or reaches out",
    arguments: [
      "delete from flow", "insert into meta values ('a', 'b')", "update flow set line = 0", "drop table flow",
      "create table x (y)", "create temp table x (y)", "attach 'x.db' as x", "detach main", "vacuum",
      "vacuum into 'x.db'", "pragma journal_mode = delete", "pragma query_only = off", "pragma user_version = 7",
      "pragma wal_checkpoint(truncate)", "pragma writable_schema = 1", "pragma mmap_size = 1000000",
      "pragma temp_store_directory = '/'", "begin", "commit", "savepoint x", "reindex", "analyze",
      "select load_extension('x')", "select load_extension('x') from flow", "select writefile('x', 'y')",
      "select readfile('x')", "select edit('x')", "select zeroblob(100000000)", "select randomblob(1000000000)",
      "with x as (select load_extension('x') as y) select y from x",
      "select * from flow; delete from flow", "select 1; select 2", "", ";", "-- nothing", "select 1; ;;  select 2",
      "explain delete from flow", "select * from pragma_wal_checkpoint", "select fts3_tokenizer('a', 'b')",
      "select 1\u{0}; delete from flow; x",
    ])
  func refused(sql: String) throws {
    let folder = try ScratchFolder()
    let reader = try Self.reader(in: folder, guarded: QueryLimits())
    // A NUL ends the text for SQLite: what stands before it may run, what stands after it never does.
    if sql.contains("\u{0}") {
      #expect(try reader.rows(sql).rows == [[1]])
    } else {
      #expect(throws: StoreError.self, "\(sql)") { try reader.rows(sql) }
    }
    #expect(try FlowReader(path: folder.path()).value("select count(*) from flow") == 5)
  }

  @Test(
    "reading in every form is allowed",
    arguments: [
      "select * from flows order by id", "select count(*) from judged_flow;", " select 1 ; -- the end\n /* x */ ;",
      "with recursive n(i) as (select 1 union all select i + 1 from n where i < 10) select sum(i) from n",
      "pragma table_info(flow)", "select name from pragma_table_info('flow')", "pragma table_info('flows')",
      "pragma user_version", "explain query plan select * from flow", "values (1), (2)",
      "select line, row_number() over (partition by source order by line) from flow",
      "select name from sqlite_schema", "select json_object('a', 1)", "select host from destination group by host",
      "select histogram_percentile(latency_histogram(duration_ms), 99) from flow", "select sqlite_version()",
      "select cidr_match('10.80.3.1', '10.80.0.0/16')",
    ])
  func allowed(sql: String) throws {
    let folder = try ScratchFolder()
    let reader = try Self.reader(in: folder, guarded: QueryLimits())
    #expect(try !reader.rows(sql).rows.isEmpty)
  }

  @Test("a query that takes too long or makes too much is ended, and the next one runs")
  func limits() throws {
    let folder = try ScratchFolder()
    var limits = QueryLimits()
    limits.time = .milliseconds(50)
    let reader = try Self.reader(in: folder, guarded: limits)
    let endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select sum(i) from n"
    #expect(throws: StoreError.refused(reason: "it took longer than a query may; narrow it, or sum up with a limit")) {
      try reader.rows(endless)
    }
    #expect(try reader.value("select 1") == 1)
    #expect(throws: StoreError.self) {
      try reader.rows(
        """
        with recursive n(i) as (select 1 union all select i + 1 from n where i < 30000)
        select group_concat(printf('%1000d', i)) from n
        """)
    }
    #expect(throws: StoreError.self) { try reader.rows("select '" + String(repeating: "x", count: 2 << 20) + "'") }
    #expect(throws: StoreError.self) { try reader.rows(String(repeating: "(", count: 5_000)) }
    #expect(throws: StoreError.self) {
      try reader.rows("select " + String(repeating: "1 + ", count: 5_000) + "1")
    }
    #expect(try reader.value("select count(*) from flows") == 5)
  }

  @Test("an unguarded reader does not write either")
  func unguarded() throws {
    let folder = try ScratchFolder()
    let reader = try Self.reader(in: folder)
    for sql in ["delete from flow", "create table x (y)", "vacuum", "pragma journal_mode = delete"] {
      #expect(throws: StoreError.self) { try reader.rows(sql) }
    }
    #expect(try reader.value("select count(*) from flow") == 5)
  }

  @Test("an error names the SQL that caused it")
  func errors() throws {
    let folder = try ScratchFolder()
    let reader = try Self.reader(in: folder, guarded: QueryLimits())
    do {
      _ = try reader.rows("select absent from flow")
      Issue.record("ran")
    } catch let error as StoreError {
      #expect(error.description == "database error 1: no such column: absent; in: select absent from flow")
    }
  }

  @Test(
    "an address is in a network by its bits",
    arguments: [
      ("10.80.3.11", "10.80.0.0/16", 1), ("10.81.3.11", "10.80.0.0/16", 0), ("10.80.3.11", "10.80.3.11", 1),
      ("10.80.3.11", "10.80.3.10/31", 1), ("10.80.3.12", "10.80.3.10/31", 0), ("1.2.3.4", "0.0.0.0/0", 1),
      ("2001:db8::1", "2001:db8::/32", 1), ("2001:db9::1", "2001:db8::/32", 0), ("::ffff:10.0.0.1", "10.0.0.0/8", 1),
      ("::1", "0.0.0.0/0", 0), ("10.80.3.11", "10.80.0.0/33", nil), ("host", "10.0.0.0/8", nil),
      ("10.0.0.1", "ten", nil), ("10.0.0.1", "10.0.0.0/", nil), ("10.0.0.1", "10.0.0.0/8/8", nil), (nil, "::/0", nil),
    ] as [(String?, String, Int64?)])
  func networks(address: String?, network: String, expected: Int64?) throws {
    let folder = try ScratchFolder()
    let reader = try Self.reader(in: folder)
    #expect(
      try reader.value("select cidr_match(:a, :n)", arguments: ["a": Value(address), "n": .text(network)])
        == Value(expected))
  }

  @Test("a glob is matched without regard to case")
  func globs() throws {
    let folder = try ScratchFolder()
    let reader = try Self.reader(in: folder)
    #expect(
      try reader.rows(
        """
        select glob_match('api.example.com', '*.Example.com'), glob_match('example.com', '*.example.com'),
          glob_match(null, '*'), glob_match('a', null)
        """
      ).rows == [[1, 0, nil, nil]])
  }
}

@Suite("copies, checks and pruning")
struct UpkeepTests {
  private static func store(in folder: ScratchFolder) throws -> FlowStore {
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    try store.store(maker.batch(count: 100, sources: 4, destinations: 10), into: &log)
    try store.apply(judgement(of: store.facts()))
    try store.commit()
    return store
  }

  @Test("a snapshot taken beside a writer is one file that any program can read, and replaces nothing")
  func snapshot() throws {
    let folder = try ScratchFolder()
    let store = try Self.store(in: folder)
    let reader = try FlowReader(path: folder.path())
    let target = folder.path("copy.db")
    try reader.snapshot(to: target)
    let bytes = try Data(contentsOf: URL(fileURLWithPath: target))
    #expect(bytes[18] == 1 && bytes[19] == 1, "the header's journal mode: not WAL")
    #expect(try FileManager.default.attributesOfItem(atPath: target)[.posixPermissions] as? Int == 0o600)
    #expect(throws: StoreError.exists(path: target)) { try reader.snapshot(to: target) }
    try reader.snapshot(to: folder.path("group.db"), isGroupReadable: true)
    #expect(
      try FileManager.default.attributesOfItem(atPath: folder.path("group.db"))[.posixPermissions] as? Int == 0o640)
    let copy = try FlowReader(path: target)
    #expect(
      try copy.rows("select * from flows order by id").rows == reader.rows("select * from flows order by id").rows)
    #expect(try copy.check() == [])
    #expect(throws: StoreError.self) { try reader.snapshot(to: folder.path("missing/copy.db")) }
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.url.path).sorted()
    #expect(names == ["copy.db", "flows.db", "flows.db-shm", "flows.db-wal", "flows.db.lock", "group.db"])
    #expect(throws: StoreError.self) { try reader.rows("delete from flow") }
    store.close()
  }

  @Test("the check finds sums that do not agree and flows that point nowhere")
  func check() throws {
    let folder = try ScratchFolder()
    let store = try Self.store(in: folder)
    let reader = try FlowReader(path: folder.path())
    #expect(try reader.check() == [])
    try store.write("test") { db throws(StoreError) in
      try db.run("delete from flow where id = 1")
      try db.run("update flow set destination = 4711 where id = 2")
      try db.run("update log set read = 7")
      try db.run("update line_count set count = 3")
    }
    try store.commit()
    #expect(
      try reader.check() == [
        "a.log (log 1): 100 flows by its counter, 99 in the table",
        "a.log (log 1): 7 lines read, 100 stored, rejected and skipped",
        "a.log (log 1): 3 lines stored by kind, 100 in total",
        "1 flows refer to a source, destination, outcome or log that is not there",
      ])
  }

  @Test("info says what is there")
  func info() throws {
    let folder = try ScratchFolder()
    let store = try Self.store(in: folder)
    try store.setPolicy(text: "mesh: {}", file: "policy.yaml")
    try store.commit()
    let info = try FlowReader(path: folder.path()).info()
    #expect(info.flows == 100)
    #expect(info.sources == 4)
    #expect(info.destinations == 10)
    #expect(info.logs == 1)
    #expect(info.firstMs == noon)
    #expect(info.lastMs == noon + 100)
    #expect(info.policyFile == "policy.yaml")
    #expect(!info.isJudged)
    #expect(info.bytes > 0)
  }

  @Test("pruning takes old flows and what only they used, keeps the sums, and reading goes on")
  func prune() throws {
    let folder = try ScratchFolder()
    let store = try Self.store(in: folder)
    #expect(try store.prune(before: noon) == 0)
    #expect(try store.prune(before: noon + 95) == 95)
    try store.commit()
    let reader = try FlowReader(path: folder.path())
    #expect(try reader.check() == [])
    #expect(
      try reader.rows(
        """
        select (select count(*) from flow), (select count(*) from destination), (select count(*) from source),
          (select count(*) from dictionary_key)
        """
      ).rows == [[5, 5, 4, 13]])
    var maker = BatchMaker()
    maker.line = 101
    var log = try store.logs()[0]
    #expect(log.lines == 100)
    #expect(log.pruned == 95)
    try store.store(maker.batch(count: 10, sources: 4, destinations: 10), into: &log)
    #expect(!store.isJudged)
    try store.apply(judgement(of: store.facts()))
    try store.commit()
    #expect(try reader.check() == [])
    #expect(try reader.rows("select path, count(*) from flows group by path").rows == [["passthrough", 15]])
    let before = try reader.info()
    try store.compact()
    #expect(try reader.info().flows == before.flows)
  }
}
