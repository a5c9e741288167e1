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

  @Test("an answer that could not be written is an error in every format, also where something is said beside it")
  func fullDisk() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run(
      """
      gatewatch ingest --db a.db SampleLogs/demo > i.txt
      for format in table json ndjson csv markdown html; do
        for report in bypass summary rejected; do
          gatewatch report $report --db a.db --format $format > /dev/full 2> err.txt; echo "$? $(grep -c 'cannot write the answer' err.txt)"
        done
      done | sort | uniq -c
      """)
    // Of a report without rows, NDJSON has nothing to write.
    #expect(
      output.split(separator: "\n").allSatisfy { $0.hasSuffix(" 1 1") || $0.hasSuffix(" 1 0 0") }, "\(output)")
  }

  @Test("every report can be asked for by `query` and its name")
  func reportsByName() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run(
      """
      gatewatch ingest --db a.db SampleLogs/demo > i.txt
      for name in $(gatewatch report --list | cut -d' ' -f1); do
        gatewatch query $name --db a.db --format csv > $name.csv 2> err.txt || { echo $name; cat err.txt; }
      done
      gatewatch query -e 'begin' --db a.db 2>&1 | head -1
      """)
    #expect(output.contains("not authorized") && output.split(separator: "\n").count == 1, "\(output)")
  }

  @Test("another policy is said to be kept; a role that is declared later holds for what was read before")
  func declaredLater() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run(
      """
      cp SampleLogs/demo/envoy-egressgateway.log g.log
      echo 'mesh: { internal: [10.80.0.0/16] }' > one.yaml
      echo 'mesh: { internal: [10.0.0.0/8] }' > two.yaml
      gatewatch ingest --db a.db g.log --role sidecar --policy one.yaml 2>&1 > i.txt
      gatewatch report bypass --db a.db --policy one.yaml 2>&1 > i.txt
      gatewatch report bypass --db a.db --policy two.yaml 2>&1 > i.txt
      gatewatch ingest --db a.db g.log --role gateway --label east > i.txt
      gatewatch query -e 'select declared_role, label from log' --db a.db --format csv | tr -d '\\r'
      """)
    #expect(
      output == """
        gatewatch: two.yaml: everything stored is judged by it from now on, also in later runs, instead of one.yaml (1 entry)
        declared_role,label
        gateway,east

        """, "\(output)")
  }

  @Test("a copy of a database among the logs is no log; named, it is an error")
  func databaseAmongLogs() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run(
      """
      mkdir logs; cp SampleLogs/demo/squid.log logs; cd logs
      gatewatch ingest --db a.db . > i.txt; gatewatch db snapshot copy.db --db a.db
      gatewatch ingest --db a.db . 2>&1 > i.txt; echo "exit code $?"
      gatewatch ingest --db a.db copy.db 2>&1 > i.txt; echo "exit code $?"
      gatewatch query -e "select count(*) as logs from log where path like '%copy%'" --db a.db --format csv | tr -d '\\r'
      """)
    #expect(
      output.contains("copy.db: warning: is an SQLite database, not a log: it was left out\nexit code 0\n")
        && output.hasSuffix("copy.db: is an SQLite database, not a log: it was left out\nexit code 1\nlogs\n0\n"),
      "\(output)")
  }

  @Test("numbers at the end of their range are no trap")
  func largest() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run(
      """
      gatewatch ingest --db a.db SampleLogs/demo > i.txt
      gatewatch flows --db a.db --limit 9223372036854775807 --format ndjson | wc -l
      mkdir q; printf -- '-- title: a\\n-- column: c share x\\nselect 1e15 as c\\n' > q/big.sql
      for format in csv table json markdown html; do
        gatewatch query big --db a.db --queries q --format $format > $format.txt; echo $?
      done
      gatewatch report bypass --db a.db --since 1h30m > r.txt; echo $?
      gatewatch db prune --db a.db --before 2999-01-01 2>&1
      """)
    #expect(
      output == """
        169
        0
        0
        0
        0
        0
        0
        gatewatch: 2999-01-01 is a time to come: whatever was stored is gone
        removed 169 flows from before 2999-01-01T00:00:00.000Z

        """,
      "\(output)")
  }

  @Test("what a table says below its rows is told on the error stream where rows alone are written")
  func notesBesideRows() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run(
      """
      gatewatch ingest SampleLogs/demo --keep exceptions > i.txt
      for format in csv ndjson; do
        gatewatch report opted-out --format $format 2>&1 > rows.txt
        gatewatch whatif --registry-only --host nosuch.example --format $format 2>&1 > rows.txt
        gatewatch report hosts --limit 2 --format $format 2> notes.txt > rows.txt
        grep -c 'not shown: --limit 0 shows all' notes.txt
        gatewatch report bypass --format $format 2>&1 > rows.txt | grep -c 'left around the egress gateway'
        gatewatch flows --limit 2 --format $format 2>&1 > rows.txt
      done
      """)
    #expect(output.contains("no topology with pods was imported, so this says nothing"), "\(output)")
    #expect(output.contains("only the first 2 are shown"), "\(output)")
    #expect(output.contains("are not in this answer"), "\(output)")
    let counts = output.split(separator: "\n").compactMap { Int($0) }
    #expect(counts == [0, 1, 1, 1], "\(output)")
  }

  @Test("one thing demanded twice in one coverage requirement is an error: the first demand would be forgotten")
  func demandedTwice() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run(
      """
      gatewatch ingest SampleLogs/demo > i.txt
      gatewatch report --require-coverage role=forward-proxy,role=gateway 2>&1 > rows.txt; echo "exit code $?"
      """)
    #expect(output.contains("\"role\" stands twice in a coverage requirement"), "\(output)")
    #expect(output.hasSuffix("exit code 1\n") || output.hasSuffix("exit code 64\n"), "\(output)")
  }
}
