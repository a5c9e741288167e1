import Foundation
import Ingestion
import Testing

/// What `gatewatch ingest` promises a person with a folder of logs.
@Suite struct IngestCommandTests {
  let sandbox: Sandbox

  init() throws { sandbox = try Sandbox() }

  /// The sums of a summary agree, file by file and in total; returns the lines stored.
  @discardableResult
  private func storedBySummary(_ outcome: Sandbox.Outcome) throws -> Int {
    let summary = try outcome.json()
    func sums(_ object: [String: Any]) throws -> [Int] {
      try ["read", "stored", "rejected", "skipped"].map { try #require(object[$0] as? Int, "\($0)") }
    }
    let total = try sums(try #require(summary["lines"] as? [String: Any]))
    #expect(total[0] == total[1] + total[2] + total[3])
    var added = [0, 0, 0, 0]
    for file in try #require(summary["files"] as? [[String: Any]]) {
      let ofFile = try sums(file)
      #expect(ofFile[0] == ofFile[1] + ofFile[2] + ofFile[3])
      added = zip(added, ofFile).map { $0 + $1 }
    }
    #expect(added == total)
    #expect((summary["rejected"] as? [String: Int])?.values.reduce(0, +) == total[2])
    #expect((summary["skipped"] as? [String: Int])?.values.reduce(0, +) == total[3])
    return total[1]
  }

  @Test("the walk-through is understood line by line without any configuration")
  func walkThrough() throws {
    try sandbox.copySamples("scenarios/walk-through")
    #expect(try sandbox.shell("$GATEWATCH ingest *.log").status == 0)
    let flows = try sandbox.gatewatch("flows", "--format", "ndjson")
    #expect(flows.status == 0)
    let found = try flows.rows().map { row in
      func text(_ key: String) -> String { (row[key] as? String) ?? (row[key] as? Int).map(String.init) ?? "-" }
      return [
        text("log") + ":" + text("line"), text("path"), text("bypass"), text("outcome"), text("status"), text("host"),
      ]
      .joined(separator: " ")
    }
    #expect(
      found.sorted() == [
        "gateway.log:1 gateway - ok 301 edition.cnn.com",
        "gateway.log:2 gateway - ok 0 edition.cnn.com",
        "gateway.log:3 gateway - ok 0 edition.cnn.com",
        "gateway.log:4 gateway - ok 200 edition.cnn.com",
        "gateway.log:5 gateway - ok 200 my-nginx.mesh-external.svc.cluster.local",
        "gateway.log:6 gateway - ok 200 my-nginx.mesh-external.svc.cluster.local",
        "gateway.log:7 gateway - ok 0 fanyi.baidu.com",
        "gateway.log:8 gateway - ok 0 map.baidu.com",
        "sidecar.log:1 direct direct-service-entry ok 301 edition.cnn.com",
        "sidecar.log:2 direct direct-service-entry ok 0 edition.cnn.com",
        "sidecar.log:3 proxy - ok 0 my-company-proxy.com",
        "sni-proxy.log:1 sni-proxy - ok 200 map.baidu.com",
        "sni-proxy.log:2 sni-proxy - ok 200 fanyi.baidu.com",
        "squid.log:1 proxy - ok 200 map.baidu.com",
        "squid.log:2 proxy - ok 200 map.baidu.com",
      ])
    let columns = try #require(flows.lines.first)
    #expect(columns.hasPrefix(#"{"id":1,"started_at":"#))
    // The other line of each is joined with the hop before.
    #expect(
      try sandbox.answer(
        """
        select group_concat(log || ':' || line, ' ')
        from (select log, line from flows where proxy <> 'envoy' and warnings like '%source-unproven%' order by log)
        """) == "sni-proxy.log:1 squid.log:1")
  }

  @Test("the same logs again store nothing, also when they were renamed, copied or compressed")
  func again() throws {
    try sandbox.copySamples("scenarios/walk-through")
    #expect(try storedBySummary(sandbox.shell("$GATEWATCH ingest --format json *.log")) == 15)
    let before = try sandbox.answer("select line, started_at, host, path, bypass from flows order by log, line")
    #expect(try storedBySummary(sandbox.shell("$GATEWATCH ingest --format json *.log")) == 0)
    try sandbox.shell("mv squid.log squid.log.1; gzip sni-proxy.log; cp sidecar.log copy.log; gzip -k gateway.log")
    #expect(try storedBySummary(sandbox.shell("$GATEWATCH ingest --format json .")) == 0)
    #expect(try storedBySummary(sandbox.shell("$GATEWATCH ingest --format json squid.log.1 *.gz copy.log")) == 0)
    #expect(try sandbox.answer("select line, started_at, host, path, bypass from flows order by log, line") == before)
  }

  @Test("the JSON summary has the keys of its contract and no others")
  func contract() throws {
    try sandbox.write(Lines.squid(1...3) + "no line of any proxy\n\n" + Lines.squid(4...4).dropLast(), to: "squid.log")
    let outcome = try sandbox.gatewatch("ingest", "--format", "json", "squid.log")
    #expect(outcome.status == 0)
    #expect(outcome.errors.isEmpty)
    #expect(try storedBySummary(outcome) == 3)
    let summary = try outcome.json()
    #expect(Set(summary.keys) == ["lines", "rejected", "skipped", "files", "seconds"])
    #expect(summary["lines"] as? [String: Int] == ["read": 5, "stored": 3, "rejected": 1, "skipped": 1])
    #expect(summary["rejected"] as? [String: Int] == ["unrecognised": 1])
    #expect(summary["skipped"] as? [String: Int] == ["blank": 1])
    let file = try #require((summary["files"] as? [[String: Any]])?.first)
    #expect(
      Set(file.keys) == [
        "path", "format", "role", "read", "stored", "rejected", "skipped", "from", "to", "pending",
      ])
    #expect(file["path"] as? String == "squid.log")
    #expect(file["format"] as? String == "squid")
    #expect(file["role"] as? String == "forward-proxy")
    let size = (Lines.squid(1...3) + "no line of any proxy\n\n").utf8.count
    #expect(file["from"] as? Int == 0)
    #expect(file["to"] as? Int == size)
    #expect(file["pending"] as? Int == Lines.squid(4...4).utf8.count - 1)
  }

  @Test("the summary for people names sums, first places and what to do")
  func text() throws {
    try sandbox.write(Lines.squid(1...3) + "no line of any proxy\n\n", to: "squid.log")
    let outcome = try sandbox.gatewatch("ingest", "squid.log")
    let expected = """
      squid.log  squid  forward-proxy
        5 lines read = 3 stored + 1 rejected + 1 skipped; bytes 0 to \(Lines.squid(1...3).utf8.count + 22)

      total: 5 lines read = 3 stored + 1 rejected + 1 skipped; 1 file in TIME
      rejected: 1 unrecognised (squid.log:4); see: gatewatch report rejected
      skipped: 1 blank

      """
    #expect(outcome.out.replacing(/in \d+\.\d\d s/, with: "in TIME") == expected)
    #expect(try sandbox.gatewatch("report", "rejected").out.contains("no line of any proxy"))
  }

  @Test("only roles that lines really have are named for a log")
  func roles() throws {
    try sandbox.copySamples("scenarios/walk-through")
    try sandbox.write(Lines.sidecar(1...40) + Lines.squid(1...5), to: "mixed.log")
    // A client inside the mesh, so that other lines could have made these sources something else.
    try sandbox.write(
      """
      [2020-09-08T05:00:00.000Z] "GET / HTTP/1.1" 200 - "-" "-" 0 1 2 1 "-" "curl" "-" "web.prod.svc.cluster.local" \
      "10.80.3.7:80" inbound|80|http|web.prod.svc.cluster.local 127.0.0.1:4000 10.80.3.7:80 10.80.3.8:4001 - default

      """, to: "inbound.log")
    let summary = try sandbox.shell("$GATEWATCH ingest --format json *.log").json()
    let files = try #require(summary["files"] as? [[String: Any]])
    let roles = Dictionary(
      uniqueKeysWithValues: files.map { ($0["path"] as? String ?? "", $0["role"] as? String ?? "") })
    #expect(
      roles == [
        "gateway.log": "gateway", "sidecar.log": "sidecar", "sni-proxy.log": "sni-proxy",
        "squid.log": "forward-proxy", "mixed.log": "sidecar,forward-proxy", "inbound.log": "inbound",
      ])
    let again = try sandbox.shell("$GATEWATCH ingest --format json *.log").json()["files"] as? [[String: Any]]
    #expect(again?.compactMap { $0["role"] as? String } == files.compactMap { $0["role"] as? String })
    for (log, names) in roles {
      let stored = try sandbox.answer("select distinct role from flows where log = '\(log)'")
      #expect(Set(stored.split(separator: "\n")) == Set(names.split(separator: ",")), "\(log)")
    }
  }

  @Test("standard input is read to its end, once as a file and with a warning as a pipe")
  func standardInput() throws {
    try sandbox.write(Lines.squid(1...5), to: "squid.log")
    #expect(try storedBySummary(sandbox.shell("$GATEWATCH ingest --format json - < squid.log")) == 5)
    #expect(try storedBySummary(sandbox.shell("$GATEWATCH ingest --format json - < squid.log")) == 0)
    let piped = try sandbox.shell("cat squid.log | $GATEWATCH ingest --format json - --db piped.db")
    #expect(try storedBySummary(piped) == 5)
    #expect(piped.errors.contains("-: warning: ") && piped.errors.contains("--overlap"))
    let unfinished = try sandbox.shell(
      "printf %s \"$(cat squid.log)\" | $GATEWATCH ingest --format json --db last.db -")
    #expect(try storedBySummary(unfinished) == 5)
    #expect(try storedBySummary(sandbox.shell("gzip -c squid.log | $GATEWATCH ingest --format json --db gz.db -")) == 5)
    #expect(try sandbox.shell("$GATEWATCH ingest --db empty.db - < /dev/null").status == 0)
  }

  @Test("--overlap stores what a second export repeats once")
  func overlap() throws {
    func export(_ numbers: ClosedRange<Int>) throws -> Sandbox.Outcome {
      try sandbox.write(Lines.squid(numbers) + Lines.squid(9...9), to: "export.txt")
      return try sandbox.shell("cat export.txt | $GATEWATCH ingest --overlap --format json -")
    }
    #expect(try storedBySummary(export(1...10)) == 11)
    let second = try export(6...20)
    #expect(try storedBySummary(second) == 10)
    #expect((try second.json()["skipped"] as? [String: Int]) == ["seen-before": 6])
    #expect(try sandbox.answer("select count(*) from flows where bytes_received = 1009") == "2")
  }

  @Test("patterns, folders and files name each log once")
  func discovery() throws {
    try sandbox.write(Lines.squid(1...3), to: "logs/a/squid.log")
    try sandbox.write(Lines.squid(4...6), to: "logs/b/deep/squid.log")
    try sandbox.write(Lines.squid(7...9), to: "logs/other.txt")
    try sandbox.shell("ln -s ../logs logs/loop; ln -s a/squid.log logs/link.log")
    #expect(try storedBySummary(sandbox.gatewatch("ingest", "--format", "json", "logs/*/squid.log")) == 3)
    #expect(
      try storedBySummary(sandbox.gatewatch("ingest", "--format", "json", "logs", "logs/a", "logs/a/squid.log")) == 6)
    #expect(try sandbox.answer("select count(*) from log") == "3")
  }

  @Test("an input that cannot be read is named, the others are read, and the exit code is 1")
  func unreadable() throws {
    try sandbox.write(Lines.squid(1...3), to: "good.log")
    try sandbox.shell("mkfifo fifo")
    let outcome = try sandbox.gatewatch(
      "ingest", "--format", "json", "missing.log", "no*such", "good.log", "/proc/self/mem")
    #expect(outcome.status == 1)
    #expect(try storedBySummary(outcome) == 3)
    #expect(outcome.errors.contains("missing.log: cannot open: "))
    #expect(outcome.errors.contains("no*such: nothing matches this pattern"))
    #expect(outcome.errors.contains("/proc/self/mem: cannot read"))
  }

  @Test("a folder of anything holds no surprise: pipes and sockets are left alone, other programs' lines are rejected")
  func anything() throws {
    try sandbox.shell(
      "mkdir d; mkfifo d/fifo; ln -s nowhere d/dangling; ln -s loop d/loop; : > d/empty; head -c 100000 /dev/zero > d/zeros"
    )
    try sandbox.write(
      "2026-11-23 05:00:01 install foo:amd64 <none> 1.2\n2026-11-23 05:00:02 startup archives unpack\n",
      to: "d/dpkg.log")
    try sandbox.write(
      #"{"level":"info","ts":"2026-11-23T05:00:00Z","msg":"hello"}"# + "\n{}\n[]\n{\n", to: "d/app.json")
    var random = SeededGenerator(seed: 5)
    let junk = (0..<200_000).map { _ in UInt8.random(in: 0...255, using: &random) }
    try sandbox.write(junk, to: "d/junk.bin")
    try sandbox.write([0x1F, 0x8B] + junk, to: "d/junk.gz")
    let outcome = try sandbox.shell("timeout 60 $GATEWATCH ingest --format json d; echo \"exit code $?\" >&2")
    #expect(outcome.errors.contains("exit code 1\n"), "the broken gzip file is an input that cannot be read")
    #expect(outcome.errors.contains("d/junk.gz: "))
    #expect(outcome.errors.contains("d/dangling: warning: cannot open"))
    #expect(try storedBySummary(outcome) == 0)
    let rejected = try #require(try outcome.json()["rejected"] as? [String: Int])
    #expect(rejected.values.reduce(0, +) > 500)
  }

  @Test("bad usage and bad places say what to do")
  func messages() throws {
    try sandbox.write(Lines.squid(1...3), to: "squid.log")
    let none = try sandbox.gatewatch("ingest")
    #expect(none.status == 64)
    let folder = try sandbox.gatewatch("ingest", "--db", "no/such/folder/x.db", "squid.log")
    #expect(folder.status == 2)
    #expect(folder.errors.contains("no/such/folder"))
    let log = try sandbox.gatewatch("ingest", "--db", "squid.log", "squid.log")
    #expect(log.status == 2)
    #expect(log.errors.contains("not an SQLite database; nothing was changed"))
    #expect(try String(contentsOfFile: sandbox.path("squid.log"), encoding: .utf8) == Lines.squid(1...3))
    let role = try sandbox.gatewatch("ingest", "--role", "router", "squid.log")
    #expect(role.status == 64)
    #expect(role.errors.contains("forward-proxy"))
  }

  @Test("--dry-run counts and keeps nothing")
  func dryRun() throws {
    try sandbox.write(Lines.squid(1...3), to: "squid.log")
    #expect(try storedBySummary(sandbox.gatewatch("ingest", "--dry-run", "--format", "json", "squid.log")) == 3)
    #expect(try sandbox.shell("ls").out == "squid.log\n")
  }

  @Test("--inflate isa-l stores what zlib does, and says why where it cannot", arguments: ["squid.log.gz", "cut.gz"])
  func inflateLibrary(log: String) throws {
    try sandbox.write(Lines.squid(1...3000), to: "squid.log")
    try sandbox.shell("gzip squid.log; head -c 30000 squid.log.gz > cut.gz")
    let zlib = try sandbox.gatewatch("ingest", "--format", "json", "--db", "zlib.db", log)
    let isal = try sandbox.gatewatch("ingest", "--format", "json", "--inflate", "isa-l", "--db", "isal.db", log)
    if let hindrance = InflateLibrary.isal.hindrance {
      #expect(isal.status == 64 && isal.errors.contains(hindrance))
      return
    }
    #expect(isal.errors == zlib.errors)
    #expect(try storedBySummary(isal) == storedBySummary(zlib))
    func flows(_ database: String) throws -> String {
      let outcome = try sandbox.gatewatch("flows", "--limit", "0", "--format", "csv", "--db", database)
      #expect(outcome.status == 0)
      return outcome.out
    }
    #expect(try flows("isal.db") == flows("zlib.db"))
  }

  @Test("a declared role and a label reach the flows and stay")
  func declared() throws {
    try sandbox.write(Lines.sidecar(1...10), to: "proxy.log")
    try sandbox.gatewatch("ingest", "--role", "gateway", "--label", "cluster one", "proxy.log")
    try sandbox.append(Lines.sidecar(11...20), to: "proxy.log")
    try sandbox.gatewatch("ingest", "proxy.log")
    #expect(try sandbox.answer("select role, count(*) from flows group by role") == "gateway,20")
    #expect(try sandbox.answer("select label, declared_role from log") == "cluster one,gateway")
  }

  @Test("a format of one's own is taken as a string and from a configuration file")
  func customFormat() throws {
    let format = "$remote_addr|$time_iso8601|$request|$status|$host"
    let line = "10.80.3.7|2026-11-01T10:00:00+00:00|GET /a HTTP/1.1|200|api.example.com\n"
    try sandbox.write(line, to: "own.log")
    #expect(try storedBySummary(sandbox.gatewatch("ingest", "--format", "json", "--db", "without.db", "own.log")) == 0)
    #expect(
      try storedBySummary(
        sandbox.gatewatch("ingest", "--format", "json", "--db", "string.db", "--log-format", format, "own.log")) == 1)
    try sandbox.write(
      "http {\n  log_format own '$remote_addr|$time_iso8601|'\n    '$request|$status|$host';\n}\n", to: "nginx.conf")
    #expect(
      try storedBySummary(
        sandbox.gatewatch("ingest", "--format", "json", "--db", "file.db", "--log-format", "@nginx.conf", "own.log"))
        == 1)
    #expect(
      try sandbox.answer("select host, status, source_ip from flows", db: "file.db") == "api.example.com,200,10.80.3.7")
    let wrong = try sandbox.gatewatch("ingest", "--log-format", "%REK(:METHOD)% %START_TIME%", "own.log")
    #expect(wrong.status != 0)
    #expect(wrong.errors.contains("--> column 1") && wrong.errors.contains("did you mean %REQ%"), "\(wrong.errors)")
    #expect(!sandbox.exists("gatewatch.db"))
  }
}

/// The same numbers on every run (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
    return value ^ value >> 31
  }
}
