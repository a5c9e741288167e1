internal import Foundation

/// Ten million lines: growth, memory, and the questions on a large store.
extension Suite {
  func tenMillions() throws {
    let million = try workshop.log("envoy", lines: Suite.million)
    let three = try workshop.log("envoy", lines: 3 * Suite.million)
    let large = try workshop.log("envoy", lines: Suite.large)
    let measured = try Rounds(
      max(3, rounds / 2),
      of: [
        ingesting("ingest, 1M", million), ingesting("ingest, 3M", three), ingesting("ingest, 10M", large),
        answering("ingest and three reports, 10M", large), ceiling("e2e, 10M", large),
      ])
    card.keep(measured)
    let rates = [1.0, 3, 10].map { $0 / measured.median("ingest, \(Int($0))M") }
    card.atLeast(
      0.9, "lines a second at 10M against 1M", rates[2] / rates[0],
      "\(Scorecard.short(rates[2] / rates[0]))x (1M \(Scorecard.short(rates[0]))M/s, 3M \(Scorecard.short(rates[1]))M/s, 10M \(Scorecard.short(rates[2]))M/s)"
    )
    // Seconds = fixed + slope x millions, through the two ends; the middle shows how straight the line is.
    let slope = (measured.median("ingest, 10M") - measured.median("ingest, 1M")) / 9
    let fixed = measured.median("ingest, 1M") - slope
    let bend = measured.median("ingest, 3M") / (fixed + 3 * slope)
    card.note(
      "100M lines by that fit",
      "\(Scorecard.short(fixed + 100 * slope)) s; 3M lie at \(Scorecard.short(bend)) of the fit",
      fixed + 100 * slope)
    let ratio = measured.ratio("e2e, 10M", over: "ingest and three reports, 10M")
    card.note("10M ingest and three reports, against e2e", "\(ratio)", ratio.value)
    let peak = measured.median("ingest, 10M") { $0.peakMB }
    card.atMost(120, "MB", "peak memory, ingest of 10M", peak, "\(Scorecard.short(peak)) MB")
    try questions(large)
  }

  /// Reports, judging and small additions on a store of ten million flows.
  private func questions(_ log: String) throws {
    let database = workshop.freshDatabase("large")
    Progress.show("filling a database with 10M flows")
    try ingest(log, into: database).run()
    let bytes = workshop.size(database) / Double(Suite.large)
    card.atMost(56, "bytes", "database per flow, 10M", bytes, "\(Scorecard.short(bytes)) bytes")
    let names = ["summary", "bypass", "blocked", "latency", "hosts"]
    var works = names.map { name in
      Rounds.Work(name: "report \(name), 10M") { try report(name, of: database).run() }
    }
    works.append(
      Rounds.Work(name: "report bypass --since --host, 10M") {
        try report("bypass", of: database, "--since", "2020-08-29T05:17:23Z", "--host", "*.com").run()
      })
    let whole = Rounds.Work(name: "report bypass, each of its rows, as CSV, 10M") {
      try Command(workshop.gatewatch, "report", "bypass", "--db", database, "--format", "csv").run()
    }
    let measured = try Rounds(rounds, of: works + [whole])
    card.keep(measured)
    let seconds = measured.median(whole.name)
    let peak = measured.median(whole.name) { $0.peakMB }
    card.note(whole.name, "\(Scorecard.short(seconds)) s, \(Scorecard.short(peak)) MB", seconds)
    for work in works {
      let seconds = measured.median(work.name)
      let target = work.name.contains("--since") ? 2.5 : 0.15
      card.atMost(target, "s", work.name, seconds, "\(Scorecard.short(seconds)) s")
    }
    try rejudging(database)
    try additions(database)
  }

  private func rejudging(_ database: String) throws {
    let policies = try ["10.80.0.0/16", "10.80.0.0/17"].enumerated().map { index, range in
      let file = workshop.path("policy-\(index).yaml")
      try Data("mesh: { internal: [\(range)] }\n".utf8).write(to: URL(filePath: file))
      return file
    }
    var turn = 0
    let measured = try Rounds(
      rounds,
      of: [
        // Blocked flows are few, so this is the judging; each time another policy than the one before.
        Rounds.Work(name: "re-judging 10M flows") {
          turn += 1
          return try report("assumptions", of: database, "--policy", policies[turn % 2]).run()
        }
      ])
    card.keep(measured)
    let seconds = measured.median("re-judging 10M flows")
    card.atMost(0.5, "s", "re-judging 10M flows by another policy", seconds, "\(Scorecard.short(seconds)) s")
  }

  private func additions(_ database: String) throws {
    let growing = workshop.path("growing.log")
    var seed = 100
    try Data().write(to: URL(filePath: growing))
    func append(startMs: Int64? = nil) throws {
      seed += 1
      let file = try workshop.log("envoy", lines: 1000, seed: seed, startMs: startMs)
      let handle = try FileHandle(forWritingTo: URL(filePath: growing))
      try handle.seekToEnd()
      try handle.write(contentsOf: Data(contentsOf: URL(filePath: file)))
      try handle.close()
    }
    let alert = Command(workshop.gatewatch, "alert", "--ingest", growing, "--db", database, accepting: [1, 2])
    try append()
    try alert.run()  // The first one tells of everything there is.
    let spread = try Rounds(
      rounds,
      of: [
        Rounds.Work(name: "alert --ingest of 1,000 new lines") {
          try append()
          return try alert.run()
        }
      ])
    card.keep(spread)
    let seconds = spread.median("alert --ingest of 1,000 new lines")
    // The harder case: so many flows lie around such lines that a tenth of all may be their other hops.
    card.atMost(
      0.25, "s", "alert --ingest of 1,000 new lines, a day of them among 10M flows", seconds,
      "\(Scorecard.short(seconds)) s")
    // As a log grows.
    var startMs = Suite.endOf10M
    let behind = try Rounds(
      rounds,
      of: [
        Rounds.Work(name: "alert --ingest of 1,000 new lines behind all others") {
          startMs += 120_000
          try append(startMs: startMs)
          return try alert.run()
        }
      ])
    card.keep(behind)
    let later = behind.median("alert --ingest of 1,000 new lines behind all others")
    card.atMost(0.25, "s", "the same, behind all others", later, "\(Scorecard.short(later)) s")
  }

  /// Unix milliseconds: all of the generator's ten million lines began before.
  private static let endOf10M: Int64 = 1_599_300_000_000
}
