import FlowStore
import Flows
import Foundation
import Journeys
import Testing

@testable import Ingestion

@Suite struct HopSpillTests {
  static let traits = HopTraits(
    sources: (1...9).map {
      (Int64($0), Source(log: 1, proxy: .envoy, shape: .gateway, clientIP: "10.80.0.\($0)", proxyIP: "10.80.1.1"))
    },
    destinations: [(1, Destination(host: "api.search.example"))], outcomes: [(1, Outcome(status: 200))])

  @Test("hops come back part by part with their numbers, in the order of their rows, and no file is left")
  func comesBack() throws {
    let scene = try Scene()
    let parts = HopParts(Self.traits, count: 4)
    let spill = try HopSpill(beside: scene.database, parts, blocks: 3)
    var scratch = HopSpill.Scratch()
    let hops = (0..<1_000).map {
      Hop(flow: Int64($0) + 50, startedAtMs: Int64($0), source: Int32($0 % 9 + 1), destination: 1, outcome: 1)
    }
    // Blocks are written in any order.
    for block in [2, 0, 1] {
      try spill.write(Array(hops[block * 350..<min(1_000, block * 350 + 350)]), block: block, &scratch)
    }
    #expect(spill.number() == 1_000)
    #expect((0..<3).map { spill.base(of: $0) } == [0, 350, 700])
    var seen: Set<Int64> = []
    var buffer: [Hop] = []
    for part in 0..<4 {
      var numbers: [Int64] = []
      try spill.forEach(of: part, from: .min, until: .max, &buffer) { numbers += $0.map(\.flow) }
      #expect(numbers.count == spill.count(of: part))
      #expect(numbers == numbers.sorted())
      // A client's hops are all in one part.
      for number in numbers { #expect(seen.insert(number).inserted) }
      let clients = Set(numbers.map { $0 % 9 })
      #expect(numbers.count == hops.count { clients.contains(($0.flow - 50) % 9) })
    }
    #expect(seen == Set(0..<1_000))
    // Of blocks in which nothing can have begun nothing is read.
    var few = 0
    for part in 0..<4 { try spill.forEach(of: part, from: 400, until: 401, &buffer) { few += $0.count } }
    #expect(few == 350)
    #expect(try FileManager.default.contentsOfDirectory(atPath: scene.folder + "/store").isEmpty)
  }

  @Test("where no file can be made, that is said")
  func noFolder() throws {
    #expect {
      try HopSpill(beside: "/nowhere/at/all/flows.db", HopParts(Self.traits, count: 1), blocks: 1)
    } throws: { error in
      "\(error)".hasPrefix("/nowhere/at/all/: cannot make a temporary file for joining hops: ")
    }
  }
}
