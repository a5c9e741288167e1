import Testing

@testable import FlowStore

/// What rollups are made of is read from pages, byte by byte what SQL gives.
@Suite("Blobs of pages")
struct PartPagesTests {
  @Test("blobs of every length are read as SQL reads them, from the write-ahead log and from chains that lie scattered")
  func blobs() throws {
    let scene = try RollupScene()
    let reader = try scene.reader()
    var lengths = [0, 1, 127, 128, 40_000]
    // Around the lengths at which a page is full, and at which so much less of a blob stands in it.
    for pages in [1, 2, 3, 17, 40] { lengths += (-40...8).map { pages * 16_380 + $0 } }
    func insert(_ first: Int, _ lengths: [Int]) throws {
      try scene.store.access { db throws(StoreError) in
        for (number, length) in lengths.enumerated() {
          try db.statement("insert into rollup_part (id, content) values (?, substr(randomblob(?), 2))")
            .run(.integer(Int64(first + number)), .integer(Int64(length) + 1))
        }
      }
    }
    try insert(1000, lengths)
    #expect(try compare(reader) == lengths.count)
    try scene.checkpoint()
    #expect(try compare(reader) == lengths.count)
    // Later ones fill what these leave.
    try scene.store.access { db throws(StoreError) in try db.run("delete from rollup_part where id % 3 <> 0") }
    try insert(5000, [300_000, 17_000, 1_000_000, 16_000])
    try scene.checkpoint()
    #expect(try compare(reader) > 4)
    try scene.store.access { db throws(StoreError) in
      try db.run("update rollup_part set content = randomblob(length(content)) where id % 2 = 0")
    }
    #expect(try compare(reader) > 4)
  }

  @Test("what is no row of a blob is not taken for one")
  func damage() throws {
    let scene = try RollupScene()
    let reader = try scene.reader()
    try scene.store.access { db throws(StoreError) in
      try db.run("insert into rollup_part (id, content) values (7, randomblob(100000)), (9, 'text')")
    }
    // Which asks SQL instead.
    #expect(try reader.withPages { try $1.parts(.rollup)?.places(of: 0...100) } == nil)
  }

  /// - Returns: how many there are.
  private func compare(_ reader: FlowReader) throws -> Int {
    let count = try reader.withPages { db, pages -> Int? in
      guard let parts = try pages.parts(.rollup) else { return nil }
      let buffer = parts.makeBuffer()
      defer { buffer.deallocate() }
      let places = try parts.places(of: .min ... .max)
      let row = try db.statement("select id, content from rollup_part order by id")
      var next = 0
      while try row.step() {
        let place = places[next]
        next += 1
        var bytes = [UInt8](repeating: 0, count: place.count)
        try bytes.withUnsafeMutableBytes { try parts.read(place, into: $0, buffer) }
        #expect(place.id == row.int(0) && bytes == row.blob(1), "blob \(place.id) of \(bytes.count) bytes")
      }
      #expect(next == places.count)
      // Of some in the middle, only these.
      let some = places.dropFirst(3).prefix(5).map(\.id)
      #expect(try parts.places(of: some[0]...some[some.count - 1]).map(\.id) == some)
      return next
    }
    return try #require(count)
  }
}
