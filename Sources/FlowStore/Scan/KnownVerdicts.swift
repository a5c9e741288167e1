internal import Glibc

/// Under which group of a request one thread counts a flow, by its source's and destination's class, its outcome's, and
/// the time between two moments at which verdicts change: within it, what was found for one flow holds for the others.
///
/// Copies are one; for the last to deallocate.
struct KnownVerdicts {
  /// What a request asks of sources and destinations, for all threads.
  struct Places {
    fileprivate struct Place: BitwiseCopyable {
      /// Of the request; negative where it leaves them out.
      var group: Int32
      /// Below 0 where there is none yet. Of sources, times `VerdictTables.routeStride`.
      var kind: Int32
    }

    fileprivate let sources, destinations: FixedArray<Place>

    init(_ request: TallyRequest, _ tables: VerdictTables) {
      func places(_ classes: [Int32], _ groups: [Int32]?, times factor: Int) -> FixedArray<Place> {
        FixedArray(
          classes.enumerated().map { id, kind in
            // What has no row, no view shows.
            let isShown = kind > -2 && id < groups?.count ?? .max
            return Place(group: isShown ? groups?[id] ?? 0 : -1, kind: kind < 0 ? kind : kind * Int32(factor))
          })
      }
      sources = places(tables.sourceClasses, request.sourceGroups, times: tables.routeStride)
      destinations = places(tables.destinationClasses, request.destinationGroups, times: 1)
    }
  }

  /// Zeros where nothing is known.
  private struct Cell: BitwiseCopyable {
    /// Of `VerdictGroups`, plus 2, so that 0 is to be asked for and 1 left out.
    var group: Int32
    /// The verdict's number plus one; 0 where each flow has its own.
    var number: Int32
    /// Flows that were looked up here.
    var flows: Int64
  }

  /// A time in which all cells hold.
  private struct Window {
    var firstMs, lastMs: Int64
    var isAsked: Bool
    /// nil where no interval of the policy holds.
    var routeBase: Int?
    var cells: UnsafeMutablePointer<Cell>?
  }

  private let request: TallyRequest
  private let measuresDurations: Bool
  private let tables: VerdictTables
  private let places: Places
  private let journeys: JourneyPlaces
  private let relayed: RelayedFlows
  private let verdicts: VerdictGroups
  private let hasJourneys, hasRelayed: Bool
  /// Of a kind of `JourneyPlaces`: by route and class of outcomes.
  private let cellsPerKind: Int
  private let outcomeClassCount: Int
  private var windows: [Window] = []
  /// The one that the last flow began in.
  private var present = 0
  private var firstMs = Int64.max
  private var lastMs = Int64.min
  private var isAsked = false
  private var routeBase = -1
  private var cells: UnsafeMutablePointer<Cell>?

  /// In a window, and in all of them: with more, each flow is judged by itself.
  private static let mostCells = 1 << 18
  private static let mostCellsOfAll = 1 << 20

  init(
    _ request: TallyRequest, _ tables: VerdictTables, _ places: Places, _ journeys: JourneyPlaces,
    _ relayed: RelayedFlows, _ verdicts: VerdictGroups
  ) {
    self.request = request
    measuresDurations = request.measuresDurations
    self.tables = tables
    self.places = places
    self.journeys = journeys
    self.relayed = relayed
    self.verdicts = verdicts
    hasJourneys = !journeys.isEmpty
    hasRelayed = !relayed.isEmpty
    outcomeClassCount = tables.outcomeClassCount
    cellsPerKind = tables.routeCount * tables.outcomeClassCount
    let borders = Set(tables.borders + [request.sinceMs, request.untilMs].compactMap { $0 }).sorted()
    var first = Int64.min
    for border in borders where border > .min {
      add(first, border - 1)
      first = border
    }
    add(first, .max)
  }

  private mutating func add(_ firstMs: Int64, _ lastMs: Int64) {
    windows.append(
      Window(
        firstMs: firstMs, lastMs: lastMs,
        isAsked: firstMs >= request.sinceMs ?? .min && (request.untilMs == nil || firstMs < request.untilMs!),
        routeBase: tables.routeBase(at: firstMs)))
  }

  func deallocate() { for window in windows { free(window.cells) } }

  @inline(never)
  private mutating func turn(to ms: Int64) {
    var (low, high) = (0, windows.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if windows[middle].lastMs < ms { low = middle + 1 } else { high = middle }
    }
    present = low
    let count = cellsPerKind * JourneyPlaces.kinds
    if windows[low].isAsked, windows[low].cells == nil, count <= KnownVerdicts.mostCells,
      count * (windows.count { $0.cells != nil } + 1) <= KnownVerdicts.mostCellsOfAll
    {
      // Few of them are ever used, and what nobody writes to costs nothing.
      guard let memory = calloc(count, MemoryLayout<Cell>.stride) else { fatalError("out of memory") }
      windows[low].cells = memory.bindMemory(to: Cell.self, capacity: count)
    }
    (firstMs, lastMs) = (windows[low].firstMs, windows[low].lastMs)
    (isAsked, routeBase, cells) = (windows[low].isAsked, windows[low].routeBase ?? -1, windows[low].cells)
  }

  /// Under which verdict, source and destination a flow is counted; nil where the request leaves it out.
  ///
  /// - Parameter met: where sources are collected, and are then not told apart.
  @inline(__always)
  mutating func place(
    of flow: PageRow, _ totals: inout VerdictTotals?, _ met: SourceSets?
  ) -> (verdict: Int32, source: Int32, destination: Int32)? {
    let startedAtMs = flow.startedAtMs
    if startedAtMs < firstMs || startedAtMs > lastMs { turn(to: startedAtMs) }
    guard isAsked, !measuresDurations || flow.durationMs >= 0 else { return nil }
    let (destinationID, sourceID) = (flow.destination, flow.source)
    guard places.destinations.has(destinationID), places.sources.has(sourceID) else { return nil }
    let (destination, source) = (places.destinations[id: destinationID], places.sources[id: sourceID])
    let sourceGroup = hasRelayed ? group(ofSender: flow.id, sourceID) : source.group
    guard destination.group | sourceGroup >= 0 else { return nil }

    var verdict: Int32
    if let cells {
      let route =
        routeBase | Int(source.kind | destination.kind) < 0
        ? 0 : tables.route(routeBase, source: source.kind, destinationClass: destination.kind)
      var index = route &* outcomeClassCount &+ Int(tables.outcomeClass(of: flow.outcome))
      if hasJourneys { index &+= journeys.kind(of: flow.id) &* cellsPerKind }
      // In bounds: kinds, routes and classes of outcomes are below their counts.
      let cell = cells + index
      cell.pointee.flows &+= 1
      verdict = cell.pointee.group &- 2
      if verdict < -1 { verdict = ask(about: FlowRecord(flow), journeys.kind(of: flow.id), cell, &totals) }
    } else {
      verdict = ask(about: FlowRecord(flow), journeys.kind(of: flow.id), nil, &totals)
    }
    guard verdict >= 0 else { return nil }
    guard let met else { return (verdict, sourceGroup, destination.group) }
    met.add(sourceGroup, destination.group)
    return (verdict, 0, destination.group)
  }

  /// The same for a flow that SQL told of, without what is known of others.
  mutating func place(
    of flow: FlowRecord, _ totals: inout VerdictTotals?, _ met: SourceSets?
  ) -> (verdict: Int32, source: Int32, destination: Int32)? {
    turn(to: flow.startedAtMs)
    guard isAsked, !measuresDurations || flow.durationMs >= 0,
      let destination = places.destinations.element(at: flow.destination),
      let source = places.sources.element(at: flow.source)
    else { return nil }
    let sourceGroup = hasRelayed ? group(ofSender: flow.id, flow.source) : source.group
    guard destination.group >= 0, sourceGroup >= 0 else { return nil }
    let verdict = ask(about: flow, journeys.kind(of: flow.id), nil, &totals)
    guard verdict >= 0 else { return nil }
    met?.add(sourceGroup, destination.group)
    return (verdict, met == nil ? sourceGroup : 0, destination.group)
  }

  /// - Parameter source: the flow's own.
  @inline(never)
  private func group(ofSender flow: Int64, _ source: Int64) -> Int32 {
    guard places.sources[id: source].kind > -2 else { return -1 }
    guard let groups = request.sourceGroups else { return 0 }
    let sender = relayed.source(of: flow, source)
    return sender >= 0 && sender < groups.count ? groups[Int(sender)] : -1
  }

  /// - Parameter cell: where what is found stands for all flows of the kind.
  @inline(never)
  private func ask(
    about flow: FlowRecord, _ kind: Int, _ cell: UnsafeMutablePointer<Cell>?, _ totals: inout VerdictTotals?
  ) -> Int32 {
    guard let verdict = tables.verdict(of: flow),
      let settled = tables.settled(kind, verdict, source: flow.source, flow)
    else { return -1 }
    let number = verdict * JourneyPlaces.kinds + settled
    var group = verdicts.groups[number]
    if group == VerdictGroups.unknown { group = verdicts.ask(number, flow.id) }
    if let cell, tables.settled(kind, verdict) != nil {
      // The flow itself was counted; what its kind comes to, asked once.
      totals?.add(0, number, flow.id)
      (cell.pointee.group, cell.pointee.number) = (group + 2, Int32(number + 1))
    } else {
      totals?.add(1, number, flow.id)
    }
    return group
  }

  /// Adds the flows that were looked up to the totals.
  func tell(_ totals: inout VerdictTotals?) {
    guard totals != nil else { return }
    for window in windows {
      guard let cells = window.cells else { continue }
      for index in 0..<cellsPerKind * JourneyPlaces.kinds where cells[index].number > 0 {
        // Asked with the first flow, so that no example is needed.
        totals?.add(cells[index].flows, Int(cells[index].number) - 1, 0)
      }
    }
  }
}
