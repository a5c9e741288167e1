import Foundation
import FlowStore
import Flows
import Testing

@testable import Ingestion

@Suite("Logs that are renamed, compressed, copied and cut")
struct RotationTests {
  let scene: Scene

  init() throws { scene = try Scene() }

  @Test("a renamed log goes on, and the new file under its name begins anew")
  func rename() throws {
    try scene.write("access.log", 1...10)
    try scene.ingest("access.log")
    try scene.append("access.log", 11...12)
    scene.rename("access.log", to: "access.log.1")
    try scene.write("access.log", 20...25)
    let summary = try scene.ingest("access.log", "access.log.1")
    #expect(summary.files.map(\.path) == [scene.path("access.log.1"), scene.path("access.log")])
    #expect(try scene.stored() == Array(1...12) + Array(20...25))
  }

  @Test("the rotated sibling that holds the rest is read first even if it is not named, and so are those after it")
  func siblingNotNamed() throws {
    try scene.write("access.log", 1...10)
    try scene.ingest("access.log")
    try scene.append("access.log", 11...12)
    scene.rename("access.log", to: "access.log.2")
    try scene.write("access.log.1", 13...19)
    try scene.write("access.log", 20...25)
    let summary = try scene.ingest("access.log")
    #expect(summary.files.map(\.path) == ["access.log.2", "access.log.1", "access.log"].map(scene.path))
    #expect(try scene.stored() == Array(1...25))
  }

  @Test("a log rotated and compressed between two runs is continued inside the gzip file")
  func renameAndGzip() throws {
    try scene.write("access.log", 1...10)
    try scene.ingest("access.log")
    try scene.append("access.log", 11...14)
    try scene.gzip("access.log", to: "access.log.1.gz")
    try scene.write("access.log", 15...16)
    let summary = try scene.ingest("access.log")
    #expect(summary.lines.stored == 6)
    #expect(try scene.stored() == Array(1...16))
    #expect(try scene.ingest("access.log", "access.log.1.gz").lines.read == 0)
    #expect(try scene.ingest(scene.folder).lines.read == 0)
  }

  @Test("compressing a log that was read to its end stores nothing")
  func gzipOnly() throws {
    try scene.write("access.log", 1...10)
    try scene.ingest("access.log")
    try scene.gzip("access.log")
    #expect(try scene.ingest("access.log.gz").lines.read == 0)
    #expect(try scene.logs().count == 1)
    #expect(try scene.ingest("access.log.gz").lines.read == 0)
  }

  @Test(
    "plain and gzipped copies of one content, in one run, are one log whatever their order",
    arguments: [["a.log", "a.log.gz", "b/copy.log"], ["b/copy.log", "a.log.gz", "a.log"]])
  func copiesInOneRun(order: [String]) throws {
    try scene.write("a.log", 1...20)
    try scene.write("b/copy.log", 1...20)
    try scene.write("a.log.gz", bytes: Gzip.compress(Scene.lines(1...20)))
    try scene.ingest(order)
    #expect(try scene.stored() == Array(1...20))
    try scene.ingest(order.reversed())
    #expect(try scene.stored() == Array(1...20))
  }

  @Test(
    "a copy made earlier, when the log was shorter, holds nothing new, in either order",
    arguments: [["access.log", "early.log"], ["early.log", "access.log"]])
  func earlierCopy(order: [String]) throws {
    try scene.write("access.log", 1...20)
    try scene.write("early.log", 1...8)
    try scene.ingest(order)
    #expect(try scene.stored() == Array(1...20))
    try scene.append("access.log", 21...30)
    try scene.ingest(order)
    try scene.ingest(order.reversed())
    #expect(try scene.stored() == Array(1...30))
  }

  @Test("a copy that grows on its own is a log of its own from its first line")
  func copyThatDiverges() throws {
    try scene.write("access.log", 1...20)
    try scene.write("other.log", 1...5)
    try scene.ingest("access.log", "other.log")
    try scene.append("other.log", 100...110)
    try scene.ingest("access.log", "other.log")
    #expect(try scene.stored() == ([1, 2, 3, 4, 5] + Array(1...20) + Array(100...110)).sorted())
  }

  @Test("two live logs with equal heads are two logs")
  func equalHeads() throws {
    try scene.write("one.log", Array(1...5) + Array(10...15))
    try scene.write("two.log", Array(1...5) + Array(20...25))
    try scene.ingest("one.log", "two.log")
    try scene.append("one.log", 30...31)
    try scene.append("two.log", 40...41)
    try scene.ingest("two.log", "one.log")
    #expect(
      try scene.stored()
        == (Array(1...5) + Array(1...5) + Array(10...15) + Array(20...25) + [30, 31, 40, 41]).sorted())
  }

  @Test("equal beginnings in the logs of two pods are not copies")
  func equalPods() throws {
    try scene.write("shop_web-1_aaaa/istio-proxy/0.log", 1...5)
    try scene.write("shop_web-2_bbbb/istio-proxy/0.log", 1...9)
    try scene.ingest(scene.folder)
    #expect(try scene.stored() == (Array(1...5) + Array(1...9)).sorted())
  }

  @Test(
    "copytruncate: the copy is continued, the cut file begins anew, whether it stayed short or outgrew its past",
    arguments: [2, 30])
  func copyTruncate(growth: Int) throws {
    try scene.write("access.log", 1...10)
    try scene.ingest("access.log")
    try scene.append("access.log", 11...13)
    try scene.write("access.log.1", bytes: try scene.read("access.log"))
    scene.truncate("access.log", to: 0)
    try scene.append("access.log", 101...100 + growth)
    let summary = try scene.ingest("access.log")
    #expect(summary.lines.stored == 3 + growth)
    #expect(try scene.stored() == Array(1...13) + Array(101...100 + growth))
    #expect(summary.problems.isEmpty)
    #expect(try scene.ingest("access.log", "access.log.1").lines.read == 0)
  }

  @Test("a log cut to nothing begins a new generation, and the gap is reported once")
  func truncateToNothing() throws {
    try scene.write("access.log", 1...10)
    try scene.append("access.log", bytes: Array("unfinished".utf8))
    try scene.ingest("access.log")
    scene.truncate("access.log", to: 0)
    let summary = try scene.ingest("access.log")
    #expect(summary.problems.count == 1)
    #expect(summary.problems[0].message.contains("10 bytes of an unfinished line are lost"))
    #expect(!summary.hasErrors)
    try scene.append("access.log", 11...12)
    #expect(try scene.ingest("access.log").problems.isEmpty)
    #expect(try scene.stored() == Array(1...12))
    #expect(try scene.logs().map { $0.split(separator: "|")[1] } == ["1", "2"])
  }

  @Test("a log cut in the middle keeps its stored lines, and only what follows the cut is read")
  func truncateToTheMiddle() throws {
    try scene.write("access.log", 1...20)
    try scene.ingest("access.log")
    scene.truncate("access.log", to: Scene.lines(1...12).count)
    #expect(try scene.ingest("access.log").lines.read == 0)
    try scene.append("access.log", 31...33)
    #expect(try scene.ingest("access.log").lines.stored == 3)
    try scene.append("access.log", 34...60)
    try scene.ingest("access.log")
    #expect(try scene.stored() == Array(1...20) + Array(31...60))
    #expect(try scene.numbers("select line from flow where received = 31") == [13])
  }

  @Test("a log cut in the middle of a line and written on gives that one line anew")
  func truncateInsideALine() throws {
    try scene.write("access.log", 1...20)
    try scene.ingest("access.log")
    scene.truncate("access.log", to: Scene.lines(1...12).count + 30)
    try scene.append("access.log", bytes: [0x0A] + Scene.lines(31...60))
    try scene.ingest("access.log")
    #expect(try scene.stored() == Array(1...20) + Array(31...60))
  }

  @Test("an inode that is used again for another log is not read from the middle")
  func inodeReuse() throws {
    try scene.write("access.log", 1...10)
    try scene.ingest("access.log")
    // What the file system does when it gives a new file the number of a removed one.
    try scene.overwrite("access.log", bytes: Scene.lines(100...130))
    scene.rename("access.log", to: "other.log")
    try scene.ingest("other.log")
    #expect(try scene.stored() == Array(1...10) + Array(100...130))
  }

  @Test("the inode of a log that was empty proves nothing: a copy that got it is continued as the log it copies")
  func inodeOfAnEmptyLog() throws {
    try scene.write("empty.log", bytes: [])
    try scene.write("access.log", 1...5)
    try scene.ingest("empty.log", "access.log")
    try scene.append("access.log", 6...8)
    try scene.overwrite("empty.log", bytes: Scene.lines(1...8))
    scene.rename("empty.log", to: "access.log.1")
    scene.truncate("access.log", to: 0)
    try scene.ingest("access.log")
    #expect(try scene.stored() == Array(1...8))
  }

  @Test("an editor's rewrite: unchanged lines before the change are not stored again, and the rewrite is told")
  func editorsRewrite() throws {
    try scene.write("access.log", 1...10)
    try scene.ingest("access.log")
    try scene.overwrite("access.log", bytes: Scene.lines(Array(1...4) + Array(50...70)))
    let summary = try scene.ingest("access.log")
    #expect(summary.lines.stored == 21)
    #expect(summary.problems.map(\.kind) == [.warning])
    #expect(summary.problems[0].message.contains("rewritten"))
    #expect(try scene.stored() == Array(1...10) + Array(50...70))
  }

  @Test("an editor's save through a new file with one line more stores that one line")
  func editorsSave() throws {
    try scene.write("access.log", 1...10)
    try scene.ingest("access.log")
    try scene.write("access.log", 1...11)
    #expect(try scene.ingest("access.log").lines.stored == 1)
    #expect(try scene.stored() == Array(1...11))
  }

  @Test("a link that points to another log now is another log, and back again the first")
  func linkSwapped() throws {
    try scene.write("one.log", 1...5)
    try scene.write("two.log", 10...15)
    try scene.link("current.log", to: "one.log")
    try scene.ingest("current.log")
    scene.remove("current.log")
    try scene.link("current.log", to: "two.log")
    try scene.ingest("current.log")
    scene.remove("current.log")
    try scene.link("current.log", to: "one.log")
    try scene.append("one.log", 6...7)
    try scene.ingest("current.log")
    #expect(try scene.stored() == Array(1...7) + Array(10...15))
  }

  @Test("what is rotated while others are read is read under its new name, and only a warning")
  func rotatedMeanwhile() throws {
    try scene.write("a.log", 1...10)
    try scene.write("b.log.1", 11...20)
    try scene.write("b.log", 21...30)
    try scene.write("c.log", 31...40)
    var isDone = false
    let summary = try scene.ingest([scene.folder]) { _ in
      if isDone { return }
      isDone = true
      try? self.scene.gzip("b.log.1")
      self.scene.rename("c.log", to: "c.log.1")
    }
    #expect(isDone)
    #expect(try scene.stored() == Array(1...40))
    #expect(!summary.hasErrors)
    #expect(summary.problems.map(\.path) == [scene.path("b.log.1"), scene.path("c.log")])
    #expect(summary.problems.allSatisfy { $0.message.hasPrefix("was renamed or compressed while others were read") })
    #expect(try scene.ingest([scene.folder]).lines.read == 0)
  }

  @Test("what is removed while others are read is an error, also where a new file has its name or its family's")
  func removedMeanwhile() throws {
    try scene.write("a.log", 1...10)
    try scene.write("b.log", 11...20)
    try scene.write("c.log.1", 21...30)
    try scene.write("c.log", 31...40)
    var isDone = false
    let summary = try scene.ingest([scene.folder]) { _ in
      if isDone { return }
      isDone = true
      self.scene.remove("b.log")
      self.scene.remove("c.log.1")
    }
    #expect(try scene.stored() == Array(1...10) + Array(31...40))
    #expect(summary.problems.map(\.path) == [scene.path("b.log"), scene.path("c.log.1")])
    #expect(
      summary.problems.allSatisfy { $0.kind == .error && $0.message.hasPrefix("was removed while others were read") })
  }

  @Test("a copy that ends between two remembered places brings back no line that was pruned")
  func prunedCopy() throws {
    try scene.write("access.log", 1...9000)
    try scene.ingest("access.log")
    let bytes = try scene.read("access.log")
    let first = try scene.numbers("select started_at_ms from flow where line = 8900")[0]
    let store = try FlowStore(path: scene.database)
    _ = try store.prune(before: Int64(first))
    try store.commit()
    store.close()
    let end = try #require(bytes[..<(bytes.count * 7 / 10)].lastIndex(of: 0x0A))
    try scene.write("copy.log", bytes: Array(bytes[...end]))
    scene.remove("access.log")
    #expect(try scene.ingest("copy.log").lines.stored == 0)
  }

  /// Both guards are the kilobyte at their end of what was read, as `hasSameGuards` compares it with the file.
  private func expectGuards(_ scene: Scene, _ name: String) throws {
    let bytes = try Data(contentsOf: URL(filePath: scene.path(name)))
    let size = min(ConsumedPrefix.guardSize, bytes.count)
    func digest(_ bytes: Data) -> Int64 {
      Int64(bitPattern: Array(bytes).withUnsafeBytes { RunningHash(of: $0).digest })
    }
    let expected = "\(bytes.count) \(size) \(size) \(digest(bytes.prefix(size))) \(digest(bytes.suffix(size)))"
    let stored = try scene.texts(
      "select position || ' ' || head_length || ' ' || tail_length || ' ' || head_hash || ' ' || tail_hash from log order by id"
    )
    #expect(stored.last == expected, "\(name), \(bytes.count) bytes")
  }

  @Test(
    "a log is known by its first and its last kilobyte however little of it was read at a time, and under whatever inode"
  )
  func guards() throws {
    let scene = try Scene()
    try scene.write("access.log", bytes: [])
    try scene.ingest("access.log")
    for last in [1, 2, 3, 30, 31] {
      try scene.overwrite("access.log", bytes: Scene.lines(1...last))
      try scene.ingest("access.log")
      try expectGuards(scene, "access.log")
    }
    let small = try Scene()
    try small.write("access.log", 1...2)
    try small.ingest("access.log")
    // Another inode, and more.
    for last in [3, 12, 13] {
      try small.write("access.log", 1...last)
      try small.ingest("access.log")
      try expectGuards(small, "access.log")
    }
    try small.append("access.log", 14...14)
    try small.ingest("access.log")
    try expectGuards(small, "access.log")
    #expect(try small.stored() == Array(1...14))
  }

  @Test(
    "who writes a log does not change by rotation: what follows has the label, and the role of a sidecar, which clears nothing",
    arguments: [true, false])
  func declaredRole(isCopied: Bool) throws {
    try scene.write("access.log", 1...20)
    (scene.options.role, scene.options.label) = (.sidecar, "east")
    try scene.ingest("access.log")
    (scene.options.role, scene.options.label) = (nil, nil)
    if isCopied {
      try scene.write("access.log.1", 1...20)
      try scene.overwrite("access.log", bytes: Scene.lines(21...22))
    } else {
      scene.rename("access.log", to: "access.log.1")
      try scene.write("access.log", 21...22)
    }
    try scene.ingest("access.log")
    #expect(
      try scene.texts("select declared_role || ' ' || label from log") == ["sidecar east", "sidecar east"])
    try scene.write("other.log", 31...32)
    try scene.ingest("other.log")
    #expect(try scene.numbers("select count(*) from log where declared_role is null") == [1])
  }

  @Test(
    "a role that would clear what a sidecar's lines show is of the log alone of which it was said",
    arguments: [Role.gateway, .forwardProxy])
  func clearingRole(role: Role) throws {
    try scene.write("access.log", 1...20)
    scene.options.role = role
    try scene.ingest("access.log")
    scene.options.role = nil
    scene.remove("access.log")
    try scene.write("access.log", 21...22)
    try scene.ingest("access.log")
    #expect(try scene.numbers("select count(*) from log where declared_role is null") == [1])
  }

  @Test(
    "a folder's link that leads elsewhere makes another log of the same name, and a gap of what was not read behind it")
  func switchedFolder() throws {
    let files = FileManager.default
    for folder in ["d1", "d2"] {
      try files.createDirectory(atPath: scene.path(folder), withIntermediateDirectories: true)
    }
    try files.createSymbolicLink(atPath: scene.path("today"), withDestinationPath: scene.path("d1"))
    try scene.write("d1/access.log", 1...10)
    try scene.ingest("today")
    scene.remove("today")
    try files.createSymbolicLink(atPath: scene.path("today"), withDestinationPath: scene.path("d2"))
    try scene.write("d2/access.log", 101...110)
    let summary = try scene.ingest("today")
    #expect(!summary.problems.isEmpty)
    #expect(try scene.texts("select unread from log where unread is not null") == ["tail"])
  }
}
