internal import Dispatch
internal import Flows
internal import GRDB

/// The destinations of a store, read by a thread and a connection of their own while new lines are read: there may be many, and
/// whenever a line brings something new, all of them are judged.
///
/// `@unchecked Sendable`: `found` is written before `done` is signalled, and read after it was waited for.
final class DestinationsAhead: @unchecked Sendable {
  private let done = DispatchSemaphore(value: 0)
  private var found: [(id: Int64, destination: Destination)] = []

  init(path: String) {
    DispatchQueue.global(qos: .userInitiated).async {
      // What cannot be read here is read by who asks.
      if let reader = try? FlowReader(path: path) {
        defer { reader.close() }
        self.found = (try? reader.access { db in try StoredFacts.destinations(db, after: 0) }) ?? []
      }
      self.done.signal()
    }
  }

  /// Those that were committed when it was made, by row id. To be called once; waits.
  func take() -> [(id: Int64, destination: Destination)] {
    done.wait()
    defer { found = [] }
    return found
  }
}

extension FlowStore {
  /// Of fewer destinations it is not worth to open the file once more.
  public static let worthReadingAhead: Int64 = 2_000

  /// Begins to read what the next call of `facts()` returns, where that takes a while. The memory is held until then, so this is
  /// for little that is new.
  ///
  /// - Parameter worth: another limit, for tests.
  public func readFactsAhead(worth: Int64 = FlowStore.worthReadingAhead) throws(StoreError) {
    try unlessBlank(()) { db throws(StoreError) in
      let last = try db.statement("select coalesce(max(id), 0) from destination")
      // Without a write-ahead log a reader and a commit would wait for each other.
      guard self.ahead == nil, self.isLogged, try last.step(), last.int(0) >= worth else { return }
      self.ahead = DestinationsAhead(path: self.path)
    }
  }
}
