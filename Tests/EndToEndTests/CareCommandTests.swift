import Foundation
import Testing

/// `gatewatch policy` and `gatewatch db`, as built.
@Suite struct CareCommandTests {
  private static let fill = "gatewatch ingest SampleLogs/demo > ingest.txt\n"

  @Test("a policy with an error is refused with file, line, column and what to write instead")
  func policyError() throws {
    let session = try Session()
    defer { session.remove() }
    try session.write("mesh: { internal: [10.0.0.0/8] }\ngateways:\n  - { nme: x }\n", to: "p.yaml")
    let output = try session.run("gatewatch policy check p.yaml 2>&1; echo \"exit code $?\"")
    #expect(output.hasPrefix("gatewatch: p.yaml:3:7: unknown key `nme`"), "\(output)")
    #expect(output.contains("help: did you mean `name`?"))
    #expect(output.hasSuffix("exit code 1\n"))
  }

  @Test("exceptions that ended, end soon or have not begun are told apart")
  func exceptionStates() throws {
    let session = try Session()
    defer { session.remove() }
    let day: TimeInterval = 86_400
    func date(_ days: Double) -> String {
      Date(timeIntervalSinceNow: days * day).ISO8601Format(.iso8601.year().month().day())
    }
    func exception(_ name: String, _ rest: String) -> String {
      "  - { name: \(name), host: a.example, owner: o, reason: r, \(rest) }\n"
    }
    try session.write(
      "exceptions:\n" + exception("past", "expires: 2020-01-31") + exception("near", "expires: \(date(10))")
        + exception("far", "expires: \(date(400))") + exception("later", "from: \(date(20)), expires: \(date(400))"),
      to: "p.yaml")
    let output = try session.run("gatewatch policy check p.yaml --format ndjson; gatewatch policy check p.yaml")
    for (name, state) in [("past", "over"), ("near", "soon over"), ("far", "holds"), ("later", "not yet")] {
      let row = output.split(separator: "\n").first { $0.contains("\"name\":\"\(name)\"") }
      #expect(row?.contains("\"state\":\"\(state)\"") == true, "\(row ?? "no row")")
    }
    #expect(output.contains("1 entry no longer holds\n1 entry ends within 30 days\n"))
  }

  @Test("a drafted policy is one that can be checked, and in which nothing holds yet")
  func draft() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run(
      Self.fill + "gatewatch policy init > p.yaml; gatewatch policy check p.yaml --format ndjson")
    #expect(output.isEmpty, "\(output)")
    #expect(try session.run("grep -c '10.80.3.232' p.yaml") != "0\n")
  }

  @Test(
    "commands that look after a database never make one",
    arguments: ["info", "check", "prune --before 1d", "snapshot c.db"])
  func nothingIsMade(command: String) throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run("gatewatch db \(command) 2>&1; echo \"exit code $?\"; ls *.db* 2>&1")
    #expect(output.hasPrefix("gatewatch: gatewatch.db: no such database"))
    #expect(output.contains("exit code 1\n"))
    #expect(output.contains("No such file"))
  }

  @Test("info counts what was stored, as text and as JSON")
  func info() throws {
    let session = try Session()
    defer { session.remove() }
    #expect(try session.run(Self.fill + "gatewatch db info").contains("flows         169\n"))
    let json = try session.run("gatewatch db info --format json")
    let answer = try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
    #expect(answer["flows"] as? Int == 169)
    #expect(answer["logs"] as? Int == 4)
    #expect(answer["is_judged"] as? Bool == true)
  }

  @Test("pruned flows are gone, the sums still agree, and their lines are not read again")
  func prune() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run(
      Self.fill + """
        gatewatch db prune --before 2026-11-02T09:10:00Z --compact
        gatewatch db check
        gatewatch ingest SampleLogs/demo | tail -n 1
        gatewatch query -e 'select count(*) as early from flows where started_at_ms < 1793610600000' --format ndjson
        """)
    #expect(output.hasPrefix("removed "))
    #expect(!output.hasPrefix("removed 0"))
    #expect(output.contains("whole: no damage found, all sums agree\n"))
    #expect(output.contains("0 lines read = 0 stored"))
    #expect(output.hasSuffix("{\"early\":0}\n"))
  }

  @Test("a snapshot has the same answers, and never replaces a file")
  func snapshot() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run(
      Self.fill + """
        gatewatch db snapshot copy.db; echo "exit code $?"
        gatewatch db snapshot copy.db 2>&1; echo "exit code $?"
        gatewatch report bypass > a; gatewatch report bypass --db copy.db > b; cmp a b && echo same
        """)
    #expect(
      output == "exit code 0\ngatewatch: copy.db: exists already; remove it or name another file\nexit code 1\nsame\n")
  }

  @Test("damage is found and named")
  func damage() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run(
      Self.fill + """
        gatewatch db snapshot broken.db
        yes damage | head -c 9000 | dd of=broken.db bs=1 seek=40000 conv=notrunc 2> dd.txt
        gatewatch db check --db broken.db 2> said.txt; echo "exit code $?"; test -s said.txt && echo said
        """)
    #expect(output == "exit code 1\nsaid\n")
  }

  @Test("the program names its version, which the changelog may carry")
  func version() throws {
    let session = try Session()
    defer { session.remove() }
    let version = try session.run("gatewatch --version")
    #expect(version.split(separator: ".").count == 3)
  }
}
