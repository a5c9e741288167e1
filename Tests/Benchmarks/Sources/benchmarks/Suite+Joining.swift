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
      1.25, "x", "\(2 * millions)M two-hop flows: ingest with joining against without", added.value,
      "\(added) (\(Scorecard.short(measured.median("two hops, joined"))) s)")
    let idle = measured.ratio("nothing to join", over: "nothing to join, unjoined")
    card.note("1M flows that have no next hop: with joining against without", "\(idle)", idle.value)
    let peak = measured.median("two hops, joined") { $0.peakMB }
    card.atMost(120, "MB", "peak memory, ingest and joining of \(2 * millions)M", peak, "\(Scorecard.short(peak)) MB")
    if isQuick { return }
    for perMinute in [20_000, 100_000] { try joiningDense(perMinute) }
  }

  /// A busy mesh: more in the minutes around a flow than should be in memory.
  private func joiningDense(_ perMinute: Int) throws {
    let folder = try workshop.twoHops(lines: Suite.million, perMinute: perMinute)
    let (joined, unjoined) = ("\(perMinute) a minute, joined", "\(perMinute) a minute, unjoined")
    let measured = try Rounds(
      max(1, rounds / 2),
      of: [ingesting(joined, folder), ingesting(unjoined, folder, "--no-join-hops")])
    card.keep(measured)
    let added = measured.ratio(joined, over: unjoined)
    card.note(
      "2M two-hop flows, \(perMinute) a minute: with joining against without", "\(added)", added.value)
    let peak = measured.median(joined) { $0.peakMB }
    card.atMost(120, "MB", "peak memory, ingest and joining of them", peak, "\(Scorecard.short(peak)) MB")
  }
}
