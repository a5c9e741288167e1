internal import Foundation

/// The comparisons, each with its target.
struct Suite {
  let workshop: Workshop
  let rounds: Int
  let isQuick: Bool
  let card: Scorecard

  /// The everyday size, and the one that shows growth.
  static let million = 1_000_000
  static let large = 10_000_000
  /// Rows that reports show here, as on a terminal: writing out every finding is another work than finding them.
  static let shownRows = "25"

  init(workshop: Workshop, rounds: Int, isQuick: Bool) {
    self.workshop = workshop
    self.rounds = rounds
    self.isQuick = isQuick
    card = Scorecard(form: isQuick ? "quick form, \(rounds) rounds" : "full form, \(rounds) rounds")
  }

  func run() throws {
    try wholeWork()
    try otherProxies()
    try formats()
    try parsing()
    try keepingExceptions()
    try joining()
    if !isQuick {
      try tenMillions()
      try peers()
    }
  }

  // MARK: Works

  func ingest(_ log: String, into database: String, _ options: String...) -> Command {
    Command(workshop.gatewatch, ["ingest", "--db", database] + options + [log])
  }

  func report(_ name: String, of database: String, _ options: String...) -> Command {
    Command(workshop.gatewatch, ["report", name, "--db", database, "--limit", Suite.shownRows] + options)
  }

  /// Ingest into a fresh database.
  func ingesting(_ name: String, _ log: String, _ options: String...) -> Rounds.Work {
    Rounds.Work(name: name) {
      let database = workshop.freshDatabase()
      return try Command(workshop.gatewatch, ["ingest", "--db", database] + options + [log]).run()
    }
  }

  /// Ingest and the three reports, each a process of its own.
  func answering(_ name: String, _ log: String) -> Rounds.Work {
    Rounds.Work(name: name) {
      let database = workshop.freshDatabase()
      var cost = try ingest(log, into: database).run()
      for question in ["bypass", "blocked", "latency"] { cost = cost + (try report(question, of: database).run()) }
      return cost
    }
  }

  func ceiling(_ name: String, _ log: String) -> Rounds.Work {
    Rounds.Work(name: name) {
      try Command(workshop.path("e2e"), log, workshop.freshDatabase("e2e"), "2", "0", "1").run()
    }
  }

  func rate(_ lines: Int, _ seconds: Double) -> String {
    let perSecond = Double(lines) / seconds
    return perSecond >= 1e6
      ? String(format: "%.2fM lines/s", perSecond / 1e6) : String(format: "%.0fk lines/s", perSecond / 1e3)
  }

  private func share(_ database: String, _ lines: Int) -> Double { workshop.size(database) / Double(lines) }

  // MARK: One million lines

  private func wholeWork() throws {
    let envoy = try workshop.log("envoy", lines: Suite.million)
    let mesh = try workshop.log("mesh", lines: Suite.million)
    let measured = try Rounds(
      rounds,
      of: [
        answering("ingest and three reports, envoy", envoy), ceiling("e2e, envoy", envoy),
        ingesting("ingest, envoy", envoy), ingesting("ingest, mesh", mesh),
        answering("ingest and three reports, mesh", mesh),
      ])
    card.keep(measured)
    for kind in ["envoy", "mesh"] {
      let name = "ingest and three reports, \(kind)"
      let ratio = measured.ratio("e2e, envoy", over: name)
      let text = """
        \(ratio) of e2e (\(rate(Suite.million, measured.median(name))); \
        e2e \(rate(Suite.million, measured.median("e2e, envoy"))))
        """
      if kind == "envoy" {
        card.atLeast(1.2, "1M \(name)", ratio.value, text)
      } else {
        card.note("1M \(name)", text, ratio.value)
      }
      let alone = measured.median("ingest, \(kind)")
      card.note("1M ingest alone, \(kind)", "\(rate(Suite.million, alone)), \(Scorecard.short(alone)) s", alone)
    }
    let spoilt = measured.ratio("ingest, mesh", over: "ingest, envoy")
    card.atLeast(
      0.8, "ingest with findings everywhere (envoy) against few (mesh)", spoilt.value, "\(spoilt)")
    let peak = measured.median("ingest, envoy") { $0.peakMB }
    card.atMost(120, "MB", "peak memory, ingest of 1M", peak, "\(Scorecard.short(peak)) MB")
    let reportPeak = measured.median("ingest and three reports, envoy") { $0.peakMB }
    card.atMost(120, "MB", "peak memory, with the reports", reportPeak, "\(Scorecard.short(reportPeak)) MB")
    let database = workshop.freshDatabase("envoy")
    try ingest(envoy, into: database).run()
    let bytes = share(database, Suite.million)
    card.atMost(56, "bytes", "database per flow, envoy", bytes, "\(Scorecard.short(bytes)) bytes")
  }

  private func otherProxies() throws {
    for kind in ["nginx", "squid"] {
      let log = try workshop.log(kind, lines: Suite.million)
      let measured = try Rounds(
        rounds,
        of: [
          ingesting("ingest, \(kind)", log),
          Rounds.Work(name: "sqlb beside \(kind)") {
            try Command(
              workshop.path("sqlb"), workshop.freshDatabase("sqlb"), "rows=\(Suite.million)", "cols=12", "how=vtab",
              "ps=16384"
            ).timed(by: "total ")
          },
        ])
      card.keep(measured)
      let ratio = measured.ratio("sqlb beside \(kind)", over: "ingest, \(kind)")
      card.atLeast(
        0.75, "1M \(kind): ingest against SQLite's own insert rate", ratio.value,
        "\(ratio) (\(rate(Suite.million, measured.median("ingest, \(kind)"))))")
    }
  }

  private func formats() throws {
    let text = try workshop.log("envoy", lines: Suite.million)
    let json = try workshop.json(text)
    let gz = try workshop.gzip(text)
    // The library that inflates fastest, if it is there; the inflater alone is zlib, whatever gatewatch inflates with.
    let hasISAL = (try? Command(workshop.gatewatch, "ingest", "--dry-run", "--inflate", "isa-l", gz).run()) != nil
    let measured = try Rounds(
      rounds,
      of: [
        ingesting("ingest, text", text), ingesting("ingest, JSON", json), ingesting("ingest, gz", gz),
        Rounds.Work(name: "inflate") { try Command(workshop.path("inflate"), "zlib", gz, "1").timed(by: "median ") },
      ] + (hasISAL ? [ingesting("ingest, gz by ISA-L", gz, "--inflate", "isa-l")] : []))
    card.keep(measured)
    let ofText = measured.ratio("ingest, text", over: "ingest, JSON")
    card.atLeast(
      0.6, "JSON lines against text lines", ofText.value,
      "\(ofText) (\(rate(Suite.million, measured.median("ingest, JSON"))))")
    func shown(_ work: String) -> (ratio: Double, text: String) {
      let ratio = measured.ratio("inflate", over: work)
      return (ratio.value, "\(ratio) (\(rate(Suite.million, measured.median(work))))")
    }
    let byZlib = shown("ingest, gz")
    if hasISAL {
      let byISAL = shown("ingest, gz by ISA-L")
      card.atLeast(0.9, "gz input (ISA-L) against zlib alone", byISAL.ratio, byISAL.text)
      card.note("the same by zlib", byZlib.text, byZlib.ratio)
    } else {
      card.absent("ISA-L", "no libisal2, or gatewatch was built without libisal-dev")
      card.atLeast(0.9, "gz input against zlib alone", byZlib.ratio, byZlib.text)
    }
  }

  private func parsing() throws {
    let log = try workshop.log("envoy", lines: Suite.million)
    func dryRun(_ name: String, _ threads: String, _ log: String) -> Rounds.Work {
      Rounds.Work(name: name) {
        try Command(workshop.gatewatch, "ingest", "--dry-run", "--threads", threads, log).run()
      }
    }
    let measured = try Rounds(
      rounds,
      of: [
        dryRun("parse, one thread", "1", log), dryRun("parse, two threads", "2", log),
        Rounds.Work(name: "tok with dictionaries") {
          try Command(workshop.path("tok"), "walkv+dict", log, "1", "1").timed(by: "median ")
        },
        Rounds.Work(name: "tok, bare AVX2 walk") {
          try Command(workshop.path("tok"), "walkv", log, "1", "1").timed(by: "median ")
        },
      ])
    card.keep(measured)
    let seconds = measured.median("parse, one thread")
    let dictionaries = measured.ratio("tok with dictionaries", over: "parse, one thread")
    card.atLeast(
      1.2, "parse only, against tok with its look-ups", dictionaries.value,
      "\(dictionaries) (\(rate(Suite.million, seconds)))")
    let bare = measured.ratio("tok, bare AVX2 walk", over: "parse, one thread")
    card.note("parse only, against tok's bare AVX2 walk (aim 0.5)", "\(bare)", bare.value)
    let scale = measured.ratio("parse, one thread", over: "parse, two threads")
    card.atLeast(1.8, "parse one log with two threads", scale.value, "\(scale) of one")
    if isQuick { return }
    // Where the program's start and its end weigh little.
    let large = try workshop.log("envoy", lines: Suite.large)
    let atLarge = try Rounds(
      max(3, rounds / 2),
      of: [dryRun("parse 10M, one thread", "1", large), dryRun("parse 10M, two threads", "2", large)])
    card.keep(atLarge)
    let largeScale = atLarge.ratio("parse 10M, one thread", over: "parse 10M, two threads")
    card.atLeast(1.8, "the same, 10M lines", largeScale.value, "\(largeScale) of one")
  }

  private func keepingExceptions() throws {
    let log = try workshop.log("mesh", lines: Suite.million)
    let name = "--keep exceptions against keeping all, mesh"
    guard (try? ingest(log, into: workshop.freshDatabase(), "--keep", "exceptions").run()) != nil else {
      return card.absent(name, "this gatewatch has no --keep")
    }
    try keepExceptions(of: log, rounds, name)
    if isQuick { return }
    // Where names that are new, and what follows the last line, weigh little.
    let large = try workshop.log("mesh", lines: Suite.large)
    try keepExceptions(of: large, max(3, rounds / 2), "the same, 10M lines")
  }

  private func keepExceptions(of log: String, _ rounds: Int, _ name: String) throws {
    let measured = try Rounds(
      rounds,
      of: [
        ingesting("\(name): all", log), ingesting("\(name): exceptions", log, "--keep", "exceptions"),
      ])
    card.keep(measured)
    let ratio = measured.ratio("\(name): all", over: "\(name): exceptions")
    card.atLeast(2, name, ratio.value, "\(ratio)")
  }
}

extension Command {
  /// The seconds that a yardstick prints behind `word`, as wall time: it makes its rows, or reads its input, before.
  func timed(by word: String) throws(BenchmarkError) -> Cost {
    let file = NSTemporaryDirectory() + "gatewatch-benchmarks-output-\(getpid())"
    defer { try? FileManager.default.removeItem(atPath: file) }
    var cost = try run(output: file)
    let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
    guard let range = text.range(of: word, options: .backwards),
      let seconds = text[range.upperBound...].split(separator: " ").first.flatMap({ Double($0) })
    else { throw BenchmarkError("\(self.description): printed no \"\(word)\"") }
    cost.wall = seconds
    return cost
  }
}
