import FlowStore
import Foundation
import Testing

@testable import Reports

@Suite("The catalogue of queries")
struct CatalogueTests {
  private static let queries = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "Queries")

  @Test("holds every file of Queries/Reports and Queries/Alerts, and nothing else")
  func embedded() throws {
    let catalogue = QueryCatalogue()
    func names(_ folder: String) throws -> [String] {
      try FileManager.default.contentsOfDirectory(atPath: CatalogueTests.queries.appending(path: folder).path)
        .filter { $0.hasSuffix(".sql") }.map { String($0.dropLast(4)) }.sorted()
    }
    #expect(catalogue.reports.map(\.name) == (try names("Reports")))
    #expect(catalogue.alerts.map(\.name) == (try names("Alerts")))
  }

  @Test("every embedded query says what it is about and describes every column it answers with")
  func described() throws {
    let fixture = try StoreFixture()
    let reader = try FlowReader(path: fixture.path)
    let catalogue = QueryCatalogue()
    for query in catalogue.reports + catalogue.alerts {
      #expect(!query.about.isEmpty, "\(query.file)")
      var names: [String] = []
      try reader.query(query.sql, columns: { names = $0 }, row: { _ in })
      #expect(query.columns.map(\.name) == names, "\(query.file)")
      #expect(query.sql.contains("\norder by"), "\(query.file) has no final order")
      #expect(query.sql == query.sql.replacing("select *", with: ""), "\(query.file)")
    }
  }

  @Test("the columns of flows are the contract, in its order")
  func flowsContract() throws {
    let contract = """
      id started_at started_at_ms duration_ms proxy role log line source_ip source_port source host port \
      destination_ip protocol method url_path status path outcome reason bypass bytes_sent bytes_received \
      upstream_cluster route_name response_flags request_id journey warnings
      """
    let columns = try QueryCatalogue().report(named: "flows").columns.map(\.name)
    #expect(columns == contract.split(separator: " ").map(String.init))
  }

  @Test("each file runs as it is in the sqlite3 shell, unless it says which functions it needs")
  func shell() throws {
    let shell = URL(fileURLWithPath: "/usr/bin/sqlite3")
    guard FileManager.default.isExecutableFile(atPath: shell.path) else { return }
    let fixture = try StoreFixture()
    let path = fixture.path
    fixture.store.close()
    let catalogue = QueryCatalogue()
    for query in catalogue.reports + catalogue.alerts where query.functions.isEmpty {
      let process = Process()
      process.executableURL = shell
      process.arguments = ["-bail", "-readonly", path]
      let input = Pipe()
      let errors = Pipe()
      process.standardInput = input
      process.standardOutput = FileHandle.nullDevice
      process.standardError = errors
      try process.run()
      input.fileHandleForWriting.write(Data(query.sql.utf8))
      try input.fileHandleForWriting.close()
      let complaint = errors.fileHandleForReading.readDataToEndOfFile()
      process.waitUntilExit()
      #expect(process.terminationStatus == 0, "\(query.file): \(String(decoding: complaint, as: UTF8.self))")
    }
  }

  @Test(
    "a bad header is an error that names file, line and what to do",
    arguments: [
      ("select 1;\n", "q.sql:1: no title; open the file with: -- title: WHAT IT ANSWERS"),
      ("-- title: a\n-- tilte: b\nselect 1;\n", "q.sql:2: unknown header \"tilte\"; did you mean \"title\"?"),
      ("-- title: a\n-- title: b\nselect 1;\n", "q.sql:2: a second title"),
      ("-- title:\nselect 1;\n", "q.sql:1: nothing behind \"-- title:\""),
      (
        "-- title: a\nselect :host;\n",
        "q.sql:2: parameter :host is used but not declared; add: -- parameter: host WHAT IT LIMITS"
      ),
      (
        "-- title: a\n-- parameter: hots  x\nselect :host;\n",
        "q.sql:3: parameter :host is used but not declared; did you mean :hots?"
      ),
      (
        "-- title: a\n-- parameter: host  x\nselect ':host' --:host\n;\n",
        "q.sql:2: parameter :host is declared but not used; remove the line, or use :host in the query"
      ),
      (
        "-- title: a\n-- column: n  bites  x\nselect 1 as n;\n",
        "q.sql:2: column n has no kind \"bites\"; did you mean \"bytes\"?"
      ),
      (
        "-- title: a\n-- column: n  count  x\n-- column: n  count  x\nselect 1 as n;\n",
        "q.sql:3: n is declared a second time; the first time in line 2"
      ),
      ("-- title: a\nselect ?;\n", "q.sql:2: a parameter without a name (\"?\"); name it, as in :host"),
      (
        "-- title: a\n-- table: m\n-- column: n  count  x\nselect 1 as n;\n",
        "q.sql:2: table column m is not declared; did you mean \"n\"?"
      ),
      ("-- title: a\n-- rows: some\nselect 1;\n", "q.sql:2: rows \"some\" is not known; write: -- rows: all"),
    ])
  func errors(sql: String, message: String) throws {
    let error = #expect(throws: ReportError.self) { try QueryHeader.parse(sql, file: "q.sql") }
    #expect(error?.description == message)
  }

  @Test("a header text goes on in indented lines")
  func continuation() throws {
    let query = try QueryHeader.parse("-- title: a\n-- about: one\n--   two\nselect 1;\n", file: "x/own.sql")
    #expect(query.about == "one two")
    #expect(query.name == "own")
  }

  @Test("a folder of the user's adds reports, replaces built-in ones, and names the file that is wrong")
  func userFolder() throws {
    let folder = try ScratchFolder()
    try "-- title: Mine\nselect 1 as one;\n".write(toFile: folder.path("mine.sql"), atomically: true, encoding: .utf8)
    try "-- title: Other\nselect 1 as one;\n".write(toFile: folder.path("hosts.sql"), atomically: true, encoding: .utf8)
    let catalogue = try QueryCatalogue(adding: folder.url.path)
    #expect(try catalogue.report(named: "mine").title == "Mine")
    #expect(try catalogue.report(named: "hosts").title == "Other")
    #expect(catalogue.reports.count == QueryCatalogue().reports.count + 1)
    try "select 1;\n".write(toFile: folder.path("bad.sql"), atomically: true, encoding: .utf8)
    let error = #expect(throws: ReportError.self) { try QueryCatalogue(adding: folder.url.path) }
    #expect(error?.file?.hasSuffix("/bad.sql") == true)
    #expect(error?.line == 1)
  }

  @Test("an unknown report is answered with the nearest name")
  func nearest() throws {
    let error = #expect(throws: ReportError.self) { try QueryCatalogue().report(named: "bypas") }
    #expect(error?.description == "no report is called \"bypas\"; did you mean \"bypass\"?")
  }

  @Test("the query of a common table is found whatever stands around it, and rows take its place")
  func commonTables() throws {
    let sql = """
      -- with place as (no table)
      with doubtful as materialized (select ')' as a, "place as (" as b /* ( */),
      place as (
        select a, count(*) as n -- ) an end that is none
        from (select a from doubtful) d
        group by a
      )
      select p.a, p.n from place p order by p.a
      """
    let body = try #require(CommonTable.body(of: "place", in: sql))
    let text = String(decoding: Array(sql.utf8)[body], as: UTF8.self)
    #expect(text.hasPrefix("\n  select a, count(*)") && text.hasSuffix("group by a\n"))
    #expect(CommonTable.body(of: "doubtful", in: sql) != nil)
    #expect(CommonTable.body(of: "d", in: sql) == nil && CommonTable.body(of: "nobody", in: sql) == nil)
    let table = CommonTable(
      name: "place", columns: ["a", "n"], rows: [["b\"\u{202E}ü", 2], [nil, .integer(.max)]])
    let fixture = try StoreFixture()
    let replaced = try #require(table.replacing(in: sql))
    let reader = try FlowReader(path: fixture.path)
    let answer = try reader.rows(replaced, arguments: [table.parameter: table.json])
    #expect(answer.columns == ["a", "n"])
    #expect(answer.rows == [table.rows[1], table.rows[0]])
  }
}
