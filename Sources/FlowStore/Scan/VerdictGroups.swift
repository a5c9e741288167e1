internal import Dispatch

/// The group of each verdict, asked for when its first flow is met.
///
/// `@unchecked Sendable`: the statement runs under `lock`; each place of `groups` goes from unknown to its value once,
/// written under the lock and read without it as one aligned word, so that a reader sees either.
final class VerdictGroups: @unchecked Sendable {
  static let unknown: Int32 = -2
  private let statement: Statement
  private let example: Int32
  /// The same query over a flow that no table holds, with the names of its parameters.
  private let tallied: (statement: Statement, names: [String])?
  let groups: UnsafeMutablePointer<Int32>
  private var known: [[Value]: Int32] = [:]
  private(set) var verdicts: [[Value]] = []
  private(set) var failure: StoreError?
  private let lock: DispatchSemaphore

  /// - Parameter lock: one for all that ask on the same connection.
  init(
    _ statement: Statement, example: Int32, count: Int, tallied: (statement: Statement, names: [String])? = nil,
    lock: DispatchSemaphore = DispatchSemaphore(value: 1)
  ) {
    self.lock = lock
    self.statement = statement
    self.example = example
    self.tallied = tallied
    groups = .allocate(capacity: count)
    groups.initialize(repeating: VerdictGroups.unknown, count: count)
  }

  deinit { groups.deallocate() }

  @inline(never)
  func ask(_ verdict: Int, _ flow: Int64) -> Int32 {
    ask(verdict, statement) { statement.bind(.integer(flow), at: example) }
  }

  @inline(never)
  func ask(_ verdict: Int, _ flow: TalliedExample) -> Int32 {
    guard let (statement, names) = tallied else { preconditionFailure("nothing is said of flows without rows") }
    return ask(verdict, statement) { flow.bind(statement, names) }
  }

  private func ask(_ verdict: Int, _ statement: Statement, bind: () -> Void) -> Int32 {
    lock.wait()
    defer { lock.signal() }
    if groups[verdict] != VerdictGroups.unknown { return groups[verdict] }
    var group: Int32 = -1
    do throws(StoreError) {
      bind()
      if try statement.step() {
        let row = (0..<statement.columnCount).map { statement.value($0) }
        group = known[row] ?? Int32(verdicts.count)
        if known.updateValue(group, forKey: row) == nil { verdicts.append(row) }
      }
      statement.reset()
    } catch {
      failure = failure ?? error
    }
    // Once, and when it is certain: the other threads read it without the lock.
    groups[verdict] = group
    return group
  }
}

/// How many flows each row of a query over verdicts tells of.
struct VerdictTotals: Sendable {
  private let groups: VerdictGroups
  /// By number of the row.
  private var flows: [Int64] = []

  init(_ groups: VerdictGroups) { self.groups = groups }

  var failure: StoreError? { groups.failure }

  /// - Parameter example: one of the flows, for the verdict's first time.
  @inline(__always)
  mutating func add(_ flows: Int64, _ verdict: Int, _ example: Int64) {
    let row = groups.groups[verdict]
    add(flows, row == VerdictGroups.unknown ? groups.ask(verdict, example) : row)
  }

  mutating func add(_ flows: Int64, _ verdict: Int, _ example: TalliedExample) {
    let row = groups.groups[verdict]
    add(flows, row == VerdictGroups.unknown ? groups.ask(verdict, example) : row)
  }

  @inline(__always)
  private mutating func add(_ flows: Int64, _ row: Int32) {
    if row < 0 { return }
    if Int(row) >= self.flows.count { self.flows += repeatElement(0, count: Int(row) + 1 - self.flows.count) }
    self.flows[Int(row)] &+= flows
  }

  /// - Parameter other: of the same query.
  func adding(_ other: VerdictTotals?) -> VerdictTotals {
    guard let other else { return self }
    var sum = self
    for (row, more) in other.flows.enumerated() { sum.add(more, Int32(row)) }
    return sum
  }

  var rows: [(words: [Value], flows: Int64)] {
    flows.indices.filter { flows[$0] > 0 }.map { (groups.verdicts[$0], flows[$0]) }
  }
}
