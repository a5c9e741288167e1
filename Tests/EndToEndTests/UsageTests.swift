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

  @Test("a file whose name looks like options, and help on what there is not, are errors, and say what to type")
  func takenForHelp() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run(
      """
      cp SampleLogs/demo/*.log . 2> /dev/null; touch ./-dash.log
      gatewatch ingest --db a.db *.log 2>&1; echo "exit code $?"
      gatewatch alert --db a.db --ingest -dash.log 2>&1; echo "exit code $?"
      gatewatch help nosuch 2>&1; echo "exit code $?"
      gatewatch help db nosuch 2>&1; echo "exit code $?"
      gatewatch ingest --db a.db -- -dash.log | tail -1; echo "exit code $?"
      gatewatch help db check > help.txt; echo "exit code $?"
      gatewatch report --db a.db --limit -10 2>&1; echo "exit code $?"
      """)
    #expect(output.contains("Error: '-dash.log' is not an option; a file of that name is ./-dash.log"), "\(output)")
    #expect(output.contains("Error: there is no help on 'nosuch': no command is called so"), "\(output)")
    let codes = output.split(separator: "\n").filter { $0.hasPrefix("exit code") }.map { $0.dropFirst(10) }
    #expect(codes == ["64", "3", "64", "64", "0", "0", "64"], "\(output)")
  }

  @Test("a database that is a folder, or has no name, is said to be so")
  func noFile() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run(
      """
      mkdir logs
      gatewatch report --db logs 2>&1
      gatewatch ingest --db logs SampleLogs/demo 2>&1 | sed "s,$PWD/,,g"
      gatewatch ingest --db '' SampleLogs/demo 2>&1 | head -1
      GATEWATCH_DB= gatewatch db info 2>&1 | head -1
      """)
    #expect(
      output == """
        gatewatch: logs: is a folder; the database is a file, for example logs/gatewatch.db
        gatewatch: logs: is a folder; the database is a file, for example logs/gatewatch.db
        Error: --db is empty; it takes the database's file
        Error: $GATEWATCH_DB is empty; it takes the database's file

        """, "\(output)")
  }
}
