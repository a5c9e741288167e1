internal import Dispatch
internal import Flows
internal import GRDB

/// The destinations of a store, read by a thread and a connection of their own while new lines are read: there may be many, and
/// whenever a line brings something new, all of them are judged.
///
/// `@unchecked Sendable`: what was found is written before the group is left, and read after it was waited for.
final class DestinationsAhead: @unchecked Sendable {
  private let reading = DispatchGroup()
  private var reader: FlowReader?
  private var found: [(id: Int64, destination: Destination)] = []

  init(path: String) {
    DispatchQueue.global(qos: .userInitiated).async(group: reading) {
      // What cannot be read here is read by who asks.
      self.reader = try? FlowReader(path: path)
      self.found = (try? self.reader?.access { db in try StoredFacts.destinations(db, after: 0) }) ?? []
    }
  }

  /// Those that were committed when it was made, by row id, and the reader, which is the caller's from here on. Waits.
  func take() -> (found: [(id: Int64, destination: Destination)], reader: FlowReader?) {
    reading.wait()
    defer { (found, reader) = ([], nil) }
    return (found, reader)
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

  /// What was read ahead; to be called within `access`.
  func takeAhead() -> [(id: Int64, destination: Destination)] {
    guard let ahead = ahead?.take() else { return [] }
    self.ahead = nil
    openReader = openReader ?? ahead.reader
    return ahead.found
  }
}
