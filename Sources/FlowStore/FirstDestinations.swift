internal import Flows
internal import GRDB

/// The destinations of a store that had none when its writer opened it, by row id: who asks for all of them at the end of a
/// first run need not read what was just written.
struct FirstDestinations {
  /// nil where the store had some, or has got very many.
  private var entries: [(id: Int64, destination: Destination)]?

  /// Some ten megabytes of them.
  private static let most = 1 << 15

  /// Knows nothing of any store.
  init() {}

  init(_ db: Database) throws(StoreError) {
    let any = try db.statement("select exists (select 1 from destination)")
    entries = try any.step() && any.int(0) == 0 ? [] : nil
  }

  /// Takes those of a batch.
  /// - Parameter ids: end with the row ids of `batch`.
  mutating func add(_ batch: [Destination], _ ids: [Int64]) {
    guard !batch.isEmpty, var all = entries.take() else { return }
    // Row ids ascend, so that those of entries that were there before are no higher than the last.
    for (id, entry) in zip(ids.suffix(batch.count), batch) where id > all.last?.id ?? 0 { all.append((id, entry)) }
    if all.count <= FirstDestinations.most { entries = all }
  }

  /// Knows nothing from here on: others will be stored that it is not told of.
  mutating func forget() { entries = nil }

  /// All destinations with a row id up to that of the last; they are let go.
  mutating func take() -> [(id: Int64, destination: Destination)] { entries.take() ?? [] }
}
