import Testing

/// What somebody types who has not read the handbook.
@Suite struct UsageTests {
  @Test("the database may be named before the subcommand as well as behind it")
  func databaseFirst() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run(
      """
      gatewatch --db a.db ingest SampleLogs/demo > i.txt
      gatewatch report summary --db a.db > behind.txt
      gatewatch --db a.db report summary > before.txt; echo "exit code $?"
      gatewatch --db=a.db report summary | cmp - behind.txt && cmp before.txt behind.txt && echo same
      gatewatch --db a.db db check
      ls *.db
      gatewatch --db a.db alert --what 2> err.txt; echo "exit code $?"
      """)
    #expect(output.hasPrefix("exit code 0\nsame\nwhole: ") && output.hasSuffix("a.db\nexit code 3\n"), "\(output)")
  }

  @Test("SQL typed where the name of a report goes is told where it belongs")
  func misplacedSQL() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run("gatewatch query 'select 1' 2>&1; echo \"exit code $?\"")
    #expect(output.contains("SQL goes behind -e") && output.hasSuffix("exit code 64\n"), "\(output)")
  }
}
