/// What joining the hops of requests adds to reading them.
extension Suite {
  func joining() throws {
    let millions = isQuick ? 1 : 5
    let folder = try workshop.twoHops(lines: millions * Suite.million)
    let direct = try workshop.log("envoy", lines: Suite.million)
    let measured = try Rounds(
      // One run of each says little: a disk that is busy for a moment costs as much as joining.
      isQuick ? rounds : max(3, rounds),
      of: [
        ingesting("two hops, joined", folder), ingesting("two hops, unjoined", folder, "--no-join-hops"),
        ingesting("nothing to join", direct), ingesting("nothing to join, unjoined", direct, "--no-join-hops"),
      ])
    card.keep(measured)
    let added = measured.ratio("two hops, joined", over: "two hops, unjoined")
    card.atMost(
      1.25, "x", "\(2 * millions)M two-hop flows: ingest with joining against without", added,
      "\(Scorecard.short(added))x (\(Scorecard.short(measured.median("two hops, joined"))) s)")
    let idle = measured.ratio("nothing to join", over: "nothing to join, unjoined")
    card.note("1M flows that have no next hop: with joining against without", "\(Scorecard.short(idle))x", idle)
    let peak = measured.median("two hops, joined") { $0.peakMB }
    card.atMost(120, "MB", "peak memory, ingest and joining of \(2 * millions)M", peak, "\(Scorecard.short(peak)) MB")
  }
}
