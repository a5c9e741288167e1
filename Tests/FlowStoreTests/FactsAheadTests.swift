import Flows
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
}
