internal import Foundation

/// Other programs on the same data, where they are installed; `GATEWATCH_BENCHMARKS_PYTHON` names a Python that has the
/// packages `duckdb` and `chdb`.
extension Suite {
  func peers() throws {
    let python = ProcessInfo.processInfo.environment["GATEWATCH_BENCHMARKS_PYTHON"] ?? "python3"
    func has(_ package: String) -> Bool { (try? Command(python, "-c", "import \(package)").run()) != nil }
    func script(_ name: String) -> String { Workshop.package.appending(path: "Peers/\(name)").path }
    let hasDuckDB = has("duckdb")
    let hasClickHouse = has("chdb")
    let duckDB = { (mode: String, log: String) in
      Rounds.Work(name: "DuckDB") {
        try Command(python, script("duck.py"), mode, log, workshop.freshDatabase("duck")).run()
      }
    }
    let clickHouse = { (mode: String, log: String) in
      Rounds.Work(name: "ClickHouse embedded") {
        let folder = workshop.freshDatabase("clickhouse") + ".folder"
        return try Command(python, script("clickhouse.py"), mode, log, folder).run()
      }
    }
    if !hasDuckDB { card.absent("DuckDB", "no Python package duckdb") }
    if !hasClickHouse { card.absent("ClickHouse embedded", "no Python package chdb") }

    for (lines, rounds) in [(Suite.million, rounds), (Suite.large, 2)] {
      let log = try workshop.log("envoy", lines: lines)
      let works =
        [answering("Gatewatch", log)] + (hasClickHouse ? [clickHouse("line", log)] : [])
        + (hasDuckDB ? [duckDB("csv", log)] : [])
      try compare("\(lines / Suite.million)M envoy", works, rounds, targets: ["ClickHouse embedded": 1.5, "DuckDB": 3])
    }
    for kind in ["nginx", "squid"] where hasDuckDB {
      let log = try workshop.log(kind, lines: Suite.million)
      let works = [answering("Gatewatch", log), duckDB(kind, log)]
      try compare("1M \(kind)", works, rounds, targets: ["DuckDB": 1])
    }
    guard Command.found("goaccess") != nil else { return card.absent("GoAccess", "not installed") }
    let log = try workshop.log("envoy", lines: Suite.million)
    let goAccess = Rounds.Work(name: "GoAccess") {
      try Command("sh", script("goaccess.sh"), "envoy", log, workshop.path("goaccess.html")).run()
    }
    try compare("1M envoy", [answering("Gatewatch", log), goAccess], 1, targets: [:])
  }

  private func compare(
    _ data: String, _ works: [Rounds.Work], _ rounds: Int, targets: [String: Double]
  ) throws {
    guard works.count > 1 else { return }
    let measured = try Rounds(rounds, of: works)
    for peer in works.dropFirst().map(\.name) {
      let ratio = measured.ratio(peer, over: "Gatewatch")
      let text = """
        \(ratio) (\(Scorecard.short(measured.median(peer))) s, \
        \(Scorecard.short(measured.median(peer) { $0.peakMB })) MB; \
        Gatewatch \(Scorecard.short(measured.median("Gatewatch"))) s)
        """
      if let target = targets[peer] {
        card.atLeast(target, "\(data) against \(peer)", ratio.value, text)
      } else {
        card.note("\(data) against \(peer)", text, ratio.value)
      }
    }
  }
}
