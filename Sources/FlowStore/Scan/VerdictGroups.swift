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
  private let lock = DispatchSemaphore(value: 1)

  init(
    _ statement: Statement, example: Int32, count: Int, tallied: (statement: Statement, names: [String])? = nil
  ) {
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
