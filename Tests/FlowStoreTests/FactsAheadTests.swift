import Flows
import Foundation
import Testing

@testable import FlowStore

@Suite("Facts that are read ahead")
struct FactsAheadTests {
  /// A store with twenty destinations.
  private func filled(in folder: ScratchFolder) throws -> (store: FlowStore, log: Int64, maker: BatchMaker) {
    let store = try FlowStore(path: folder.path())
    let log = try store.insert(log: LogRecord(path: "a.log"))
    var maker = BatchMaker()
    try store.append(maker.batch(count: 40, destinations: 20), log: log, firstLine: 1, position: 0)
    try store.commit()
    return (store, log, maker)
  }

  @Test("facts are the same whether a part of them was read before new lines came, or all of them now")
  func same() throws {
    let folder = try ScratchFolder()
    var (store, log, maker) = try filled(in: folder)
    try store.readFactsAhead(worth: 20)
    #expect(store.ahead != nil)
    try store.append(maker.batch(count: 40, destinations: 30), log: log, firstLine: 41, position: 0)
    let facts = try store.facts()
    #expect(store.ahead == nil)
    #expect(facts.destinations.map(\.id) == Array(1...30))
    let again = try store.facts()
    #expect(facts.destinations.map(\.id) == again.destinations.map(\.id))
    #expect(facts.destinations.map(\.destination) == again.destinations.map(\.destination))
    #expect(facts.sources.map(\.source) == again.sources.map(\.source))
    #expect(facts.outcomes.map(\.outcome) == again.outcomes.map(\.outcome))
  }

  @Test(
    "facts are the same whether who asks knows destinations already, or all of them are read",
    arguments: [0, 1, 20, 30])
  func known(count: Int) throws {
    let folder = try ScratchFolder()
    var (store, log, maker) = try filled(in: folder)
    try store.append(maker.batch(count: 40, destinations: 30), log: log, firstLine: 41, position: 0)
    let facts = try store.facts()
    // Read ahead or known: what tells of more is taken.
    for readsAhead in [false, true] {
      if readsAhead {
        try store.commit()
        try store.readFactsAhead(worth: 20)
      }
      let again = try store.facts(knowing: Array(facts.destinations.prefix(count)))
      #expect(facts.destinations.map(\.id) == again.destinations.map(\.id))
      #expect(facts.destinations.map(\.destination) == again.destinations.map(\.destination))
      #expect(facts.sources.map(\.source) == again.sources.map(\.source))
      #expect(facts.outcomes.map(\.outcome) == again.outcomes.map(\.outcome))
    }
  }

  @Test(
    "facts of a store that was just filled are those that are read from it, by however many parsers and after a rollback"
  )
  func filledByParsers() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    func append(_ maker: inout BatchMaker, _ destinations: Int, parser: Int, log: Int64) throws {
      try store.append(
        maker.batch(count: 40, destinations: destinations), log: log, firstLine: 1, position: 0, parser: parser)
    }
    func expectSame(_ count: Int) throws {
      let facts = try store.facts()
      try store.commit()
      let read = try FlowReader(path: folder.path()).access { try StoredFacts($0) }
      #expect(facts.destinations.map(\.id) == Array(1...Int64(count)))
      #expect(facts.destinations.map(\.id) == read.destinations.map(\.id))
      #expect(facts.destinations.map(\.destination) == read.destinations.map(\.destination))
    }
    var log = try store.insert(log: LogRecord(path: "a.log"))
    var lost = BatchMaker()
    try append(&lost, 5, parser: 0, log: log)
    try store.rollback()
    log = try store.insert(log: LogRecord(path: "a.log"))
    // Each parser tells of what the other has told of, and of more.
    var makers = [BatchMaker(), BatchMaker()]
    for (parser, destinations) in [(0, 20), (1, 12), (1, 30), (0, 25), (0, 41)] {
      try append(&makers[parser], destinations, parser: parser, log: log)
    }
    try expectSame(41)
    // What comes after them is read.
    try append(&makers[1], 50, parser: 1, log: log)
    try expectSame(50)
  }

  @Test("few destinations are not read ahead, and what nobody asked for goes with the store")
  func unused() throws {
    let folder = try ScratchFolder()
    let store = try filled(in: folder).store
    try store.readFactsAhead()
    #expect(store.ahead == nil)
    try store.readFactsAhead(worth: 1)
    store.close()
    #expect(store.ahead == nil)
  }

  @Test("who reads beside a store is given the reader that read ahead, which sees each commit and goes with the store")
  func readers() throws {
    let folder = try ScratchFolder()
    for readsAhead in [false, true] {
      var (store, log, maker) = try filled(in: folder)
      if readsAhead {
        try store.readFactsAhead(worth: 1)
        _ = try store.facts()
        #expect(store.openReader != nil)
      }
      let reader = try store.reader()
      #expect(try store.reader() === reader)
      let before = try reader.value("select count(*) from flow")?.integer ?? 0
      try store.append(maker.batch(count: 40, destinations: 20), log: log, firstLine: 41, position: 0)
      #expect(try reader.value("select count(*) from flow")?.integer == before)
      try store.commit()
      #expect(try reader.value("select count(*) from flow")?.integer == before + 40)
      store.close()
      #expect(store.openReader == nil)
      #expect(!FileManager.default.fileExists(atPath: folder.path() + "-wal"))
      #expect(throws: (any Error).self) { try reader.value("select 1") }
    }
  }
}
