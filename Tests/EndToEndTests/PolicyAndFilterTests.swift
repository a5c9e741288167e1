import Foundation
import Testing

/// `--policy` and the filters, on the built program.
@Suite struct PolicyAndFilterTests {
  let sandbox: Sandbox

  init() throws { sandbox = try Sandbox() }

  @Test("a policy with an error is named with file, line and column, and nothing is read or changed")
  func errors() throws {
    try sandbox.copySamples("scenarios/walk-through")
    try sandbox.write("gateways:\n  - { name: g, adresses: [10.0.0.1] }\n", to: "policy.yaml")
    for command in ["ingest squid.log", "report", "alert", "flows", "query -e 'select 1'"] {
      let outcome = try sandbox.shell("$GATEWATCH \(command) --policy policy.yaml")
      #expect(outcome.status != 0)
      if command != "ingest squid.log" { continue }
      #expect(outcome.errors.hasPrefix("gatewatch: policy.yaml:2:16: unknown key `adresses`"), "\(outcome.errors)")
      #expect(!sandbox.exists("gatewatch.db"))
    }
    #expect(
      try sandbox.gatewatch("ingest", "--policy", "nosuch.yaml", "squid.log").errors.contains(
        "nosuch.yaml: cannot be read"))
  }

  @Test("another policy judges the stored past anew, without any log")
  func rejudged() throws {
    try sandbox.copySamples("scenarios/walk-through")
    try sandbox.shell("$GATEWATCH ingest *.log && rm *.log")
    #expect(try sandbox.answer("select count(*) from flows where bypass is not null") == "2")
    try sandbox.write(
      """
      gateways: [ { name: g, addresses: [151.101.1.67, 151.101.129.67] } ]
      """, to: "policy.yaml")
    let report = try sandbox.gatewatch("report", "--policy", "policy.yaml")
    #expect(report.status == 0, "\(report.errors)")
    let judged = try sandbox.answer(
      "select path || coalesce(bypass, ''), count(*) from flows where role = 'sidecar' group by 1")
    #expect(judged != "directdirect-service-entry,2\nproxy,1", "\(judged)")
    #expect(try sandbox.answer("select log, line from flows where line > 8").isEmpty)
  }

  @Test("an exception for the port of the report allows the flow, and so does one for the port at the destination")
  func exceptionPort() throws {
    // The sidecar is asked at port 80 and begins TLS at port 443 itself.
    try sandbox.write(
      "[2026-11-02T03:04:05.678Z] \"GET / HTTP/1.1\" 200 - via_upstream - \"-\" 0 2381 12 12 \"-\" \"curl/8.8.0\" \"-\" \"edition.cnn.com\" \"203.0.113.9:443\" outbound|443|tls-origination|edition.cnn.com 10.244.0.6:47908 203.0.113.9:80 10.244.0.6:47906 - default\n",
      to: "sidecar.log")
    for (port, isAllowed) in [(80, true), (443, true), (8080, false)] {
      try sandbox.write(
        """
        mesh: { internal: [10.244.0.0/16] }
        gateways: [{ name: g, addresses: [10.244.0.200] }]
        exceptions: [{ host: edition.cnn.com, port: \(port), owner: o, reason: r, expires: 2099-01-31 }]

        """, to: "policy.yaml")
      let answer = try sandbox.shell(
        "rm -f gatewatch.db; $GATEWATCH ingest sidecar.log --policy policy.yaml > i.txt; $GATEWATCH report bypass --format ndjson; $GATEWATCH explain 1"
      ).out
      #expect(answer.contains("\"port\":80,"), "\(answer)")
      #expect(answer.contains("\"allowed_by\":null") != isAllowed, "\(answer)")
      #expect(answer.contains(isAllowed ? ": allows it" : "it is for port 8080, not 80 or 443"), "\(answer)")
      let used = try sandbox.shell("$GATEWATCH policy check policy.yaml --format ndjson").out
      #expect(used.contains("\"used\":1}") == isAllowed, "\(used)")
    }
  }

  @Test("filters narrow every answer alike, and refuse what they do not understand")
  func filters() throws {
    try sandbox.copySamples("scenarios/walk-through")
    try sandbox.shell("$GATEWATCH ingest *.log")
    func count(_ filters: String) throws -> Int {
      try sandbox.shell("$GATEWATCH flows --format ndjson \(filters)").lines.count
    }
    #expect(try count("") == 15)
    #expect(try count("--host '*.BAIDU.com'") == 6)
    #expect(try count("--source 10.80.3.0/24 --path direct") == 2)
    #expect(try count("--source 10.80.3.231") == 6)
    #expect(try count("--path gateway --path proxy") == 11)
    #expect(try count("--outcome blocked") == 0)
    #expect(try count("--since 2020-09-08 --until 2020-09-08") == 4)
    #expect(try count("--since 2020-09-08T05:32:00Z --until 2020-09-08T05:33:00+00:00") == 2)
    #expect(try count("--request-id 2151bde2-4382-4e2f-b088-e464943c2a9b") == 1)
    for (filter, words) in [
      ("--since soon", "soon"), ("--source 10.0.0.0/99", "10.0.0.0/99"), ("--path nowhere", "nowhere"),
      ("--since 2020-09-09 --until 2020-09-08", "the range is empty"), ("--limit -1", "limit"),
    ] {
      let outcome = try sandbox.shell("$GATEWATCH flows \(filter)")
      #expect(outcome.status != 0)
      #expect(outcome.errors.contains(words), "\(filter): \(outcome.errors)")
    }
  }

  @Test("every report answers on an empty database, and says that nothing was read")
  func emptyDatabase() throws {
    try sandbox.write("", to: "empty.log")
    try sandbox.gatewatch("ingest", "empty.log")
    for line in try sandbox.gatewatch("report", "--list").lines {
      let name = String(line.prefix { $0 != " " })
      for format in ["table", "json", "ndjson", "csv", "markdown"] {
        let outcome = try sandbox.gatewatch("report", name, "--format", format)
        #expect(outcome.status == 0, "\(name) \(format): \(outcome.errors)")
        if format == "json" { _ = try outcome.json() }
      }
      let table = try sandbox.gatewatch("report", name).out
      #expect(!table.lowercased().contains("nothing bypassed"))
      #expect(!table.contains("no flow left around"), "\(name): \(table)")
    }
    let unknown = try sandbox.gatewatch("report", "bypas")
    #expect(unknown.status == 1)
    #expect(unknown.errors.contains("bypass"), "the nearest name is offered: \(unknown.errors)")
  }

  @Test("a typed query can do no harm")
  func harmlessQueries() throws {
    try sandbox.write(Lines.squid(1...5), to: "squid.log")
    try sandbox.gatewatch("ingest", "squid.log")
    let before = try sandbox.shell("ls; cksum gatewatch.db").out
    for sql in [
      "attach 'x.db' as y", "attach ':memory:' as y", "pragma journal_mode=delete", "pragma user_version=5",
      "pragma writable_schema=1", "select load_extension('x')", "select writefile('x','y')",
      "select readfile('/etc/passwd')",
      "select edit('x')", "drop table flow", "delete from flow", "insert into meta values('a','b')",
      "create temp table a(b)",
      "create view v as select 1", "vacuum into 'x.db'", "vacuum", "reindex", "analyze", "begin exclusive",
      "select 1; drop table flow",
      "select zeroblob(1000000000)", "select randomblob(1000000000)", "select fts3_tokenizer('simple', x'00')",
      "detach main",
      "savepoint s", "select * from fsdir('/')", "select hex(replace(printf('%16000000d', 1), ' ', 'aaaaaaaa'))",
    ] {
      let outcome = try sandbox.gatewatch("query", "-e", sql)
      #expect(outcome.status == 1, "\(sql): \(outcome.out)")
      #expect(outcome.errors.hasPrefix("gatewatch: query"), "\(sql): \(outcome.errors)")
    }
    #expect(try sandbox.shell("rm -f *-wal *-shm; ls; cksum gatewatch.db").out == before)
    #expect(try sandbox.answer("select count(*) from flows") == "5")
  }

  @Test(
    "blocked flows are asked for by the path that they have: Squid refuses some answers that came from where the request went"
  )
  func blockedByPath() throws {
    try sandbox.write(
      """
      1793610300.885    583 10.80.3.13 TCP_DENIED_REPLY/403 40 GET http://late.example/x - HIER_DIRECT/203.0.113.7 text/html
      1793610301.885    583 10.80.3.13 TCP_DENIED/403 40 GET http://early.example/x - HIER_NONE/- text/html

      """, to: "refusals.log")
    #expect(try sandbox.gatewatch("ingest", "--db", "refusals.db", "refusals.log").status == 0)
    for (path, host) in [("proxy", "late.example"), ("none", "early.example"), ("direct", nil)] {
      let lines = try sandbox.gatewatch(
        "report", "blocked", "--db", "refusals.db", "--path", path, "--format", "csv"
      ).lines.dropFirst()
      #expect(lines.map { $0.split(separator: ",")[1] } == (host.map { [Substring($0)] } ?? []), "\(path)")
    }
  }
}
