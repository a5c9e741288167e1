import Foundation
import Testing

@testable import FlowStore

/// In which order a store that is filled without waiting for the disk asks for what it does wait for.
@Suite("The order of syncs")
final class SyncOrderTests {
  private let folder: ScratchFolder
  private var maker = BatchMaker()
  private var log = LogRecord(path: "a.log")

  init() throws { folder = try ScratchFolder() }

  private func append(_ count: Int, to store: FlowStore) throws {
    try store.store(maker.batch(count: count), into: &log)
    try store.commit()
  }

  /// What is on the disk after each event, as far as was asked for.
  private struct Disk {
    private static let journal = "flows.db-journal"
    private static let store = "flows.db"
    /// The place of the last write to each file.
    private var lastWrite: [String: Int] = [:]
    /// So many events were asked to be on the disk.
    private var synced: [String: Int] = [:]
    private var headers: [(place: Int, value: UInt32)] = []
    /// Transactions that ended before the disk had what they wrote.
    private(set) var unsynced = 0
    private(set) var problems: [String] = []

    /// The header that the disk holds for sure.
    var header: UInt32? { headers.last { $0.place < synced[Disk.store] ?? 0 }?.value }

    func has(_ file: String) -> Bool { lastWrite[file].map { $0 < synced[file] ?? 0 } ?? true }

    mutating func take(_ event: RecordingDisk.Event, at place: Int) {
      switch event {
      case .write(let file, let written):
        if file == Disk.store, let written {
          // What takes the mark away can be undone, also by another run of the machine.
          if headers.last?.value == FileHeader.filling, written == FileHeader.ours {
            if lastWrite[Disk.journal] == nil || !has(Disk.journal) {
              problems.append("\(place): the mark is taken away before the journal that holds it is on the disk")
            }
          }
          headers.append((place, written))
        }
        lastWrite[file] = place
      case .sync(let file, let asked): synced[file] = max(synced[file] ?? 0, asked)
      case .truncate(Disk.journal, to: 0), .delete(Disk.journal):
        // That a transaction counts begins here, where it was one.
        guard lastWrite[Disk.journal] != nil else { return }
        lastWrite[Disk.journal] = nil
        if !has(Disk.store) {
          unsynced += 1
          if header != FileHeader.filling {
            problems.append("\(place): a commit that the disk does not have, in a file without the mark")
          }
          if headers.last?.value != FileHeader.filling {
            problems.append("\(place): the mark is gone before the file is on the disk")
          }
        }
      case .truncate, .delete: break
      }
    }
  }

  private func disk(after events: [RecordingDisk.Event]) -> Disk {
    var disk = Disk()
    for (place, event) in events.enumerated() { disk.take(event, at: place) }
    return disk
  }

  @Test(
    "has the mark on the disk before anything that is not, and all of the file before the mark goes, however it ends",
    arguments: ["durable", "settled", "closed", "large"])
  func filling(ending: String) throws {
    let events = try RecordingDisk.events(in: folder.url.path) {
      let store = try FlowStore(path: folder.path(), firstFill: .repeatable, run: "this run")
      for _ in 0..<4 { try append(3000, to: store) }
      switch ending {
      case "durable": try store.makeDurable()
      case "settled": store.settle()
      case "large":
        store.mostUnsynced = 0
        try append(10, to: store)
      default: break
      }
      // Whatever comes then waits for the disk.
      if ending != "closed" { try append(3000, to: store) }
      store.close()
    }
    let disk = disk(after: events)
    #expect(disk.problems == [], "\(events.suffix(40))")
    // Otherwise nothing was shown.
    #expect(disk.unsynced >= 4)
    #expect(disk.header == FileHeader.ours && disk.has("flows.db"))
  }
}
