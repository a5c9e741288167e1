import FlowStore
import Flows
import Foundation
import Glibc
import Testing

@testable import Ingestion

@Suite("Inputs of all kinds")
struct InputTests {
  let scene: Scene

  init() throws { scene = try Scene() }

  @Test("a file that cannot be opened is an error, and the others are read")
  func unreadable() throws {
    try scene.write("good.log", 1...3)
    try scene.link("nowhere.log", to: "missing")
    let summary = try scene.ingest("missing.log", "nowhere.log", "good.log", "none-*.log")
    #expect(summary.problems.filter { $0.kind == .error }.count == 3)
    #expect(summary.problems.map(\.path).contains(scene.path("missing.log")))
    #expect(try scene.stored() == [1, 2, 3])
  }

  @Test(
    "a file of an encoding that is not read is one error that says what to do, not thousands of rejected lines",
    arguments: [
      ("xz", [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00]), ("zstd", [0x28, 0xB5, 0x2F, 0xFD]),
      ("lz4", [0x04, 0x22, 0x4D, 0x18]), ("bzip2", [UInt8]("BZh9".utf8) + [0x31, 0x41, 0x59, 0x26, 0x53, 0x59]),
      ("UTF-16", [0xFF, 0xFE]), ("UTF-16", [0xFE, 0xFF]),
    ] as [(String, [UInt8])])
  func encodings(name: String, magic: [UInt8]) throws {
    try scene.write("good.log", 1...3)
    let file = scene.path("access.log.2")
    try Data(magic + [10, 0, 200, 10, 13, 10]).write(to: URL(fileURLWithPath: file))
    let summary = try scene.ingest(scene.folder)
    #expect(summary.problems.map(\.path) == [file])
    #expect(summary.problems.allSatisfy { $0.kind == .error && $0.message.contains(name) }, "\(summary.problems)")
    #expect(summary.lines.read == 3)
    // Once it is a log, it is read.
    try scene.write("access.log.2", 4...5)
    try scene.ingest(scene.folder)
    #expect(try scene.stored() == [1, 2, 3, 4, 5])
  }

  @Test("a text that only begins like such an encoding is read as lines")
  func lookalikes() throws {
    try Data("BZh9 is no block\nPK\n(\n".utf8).write(to: URL(fileURLWithPath: scene.path("odd.log")))
    let summary = try scene.ingest("odd.log")
    #expect(summary.problems.isEmpty)
    #expect(summary.lines.rejected == 3)
  }

  @Test("the same file under several names in one call counts once")
  func severalNames() throws {
    try scene.write("logs/access.log", 1...3)
    try scene.link("link.log", to: "logs/access.log")
    try #require(Glibc.link(scene.path("logs/access.log"), scene.path("hard.log")) == 0)
    let summary = try scene.ingest("logs/access.log", "link.log", "hard.log", "logs", "logs/*.log")
    #expect(summary.files.count == 1)
    #expect(try scene.stored() == [1, 2, 3])
  }

  @Test("folders are read to their depth, loops of links end, and the database beside the logs is no log")
  func folders() throws {
    try scene.write("a/b/c/deep.log", 1...2)
    try scene.write("a/.hidden.log", 3...4)
    try scene.link("a/b/loop", to: "a")
    #expect(mkfifo(scene.path("a/pipe"), 0o600) == 0)
    let first = try scene.ingest(scene.folder)
    #expect(first.lines.stored == 4)
    #expect(first.lines.rejected == 0)
    #expect(try scene.ingest(scene.folder).lines.read == 0)
  }

  @Test("quoted patterns are expanded here, also across folders")
  func patterns() throws {
    try scene.write("x/one.log", 1...1)
    try scene.write("x/y/two.log", 2...2)
    try scene.write("x/y/z/three.txt", 3...3)
    try scene.write("x/y/.four.log", 4...4)
    try scene.ingest("x/**/*.log")
    #expect(try scene.stored() == [1, 2])
    try scene.ingest("x/*/z/t[a-h]ree.???")
    #expect(try scene.stored() == [1, 2, 3])
  }

  @Test("a name with pattern characters that exists is that file")
  func literalPattern() throws {
    try scene.write("odd[1].log", 1...1)
    try scene.write("odd1.log", 2...2)
    try scene.ingest("odd[1].log")
    #expect(try scene.stored() == [1])
  }

  @Test("lines in any bytes never stop a run: they are stored, rejected or skipped")
  func noise() throws {
    var random = Seeded(seed: 3)
    var bytes: [UInt8] = []
    for number in 1...60 {
      bytes += (0..<Int.random(in: 0...200, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      bytes += [0x0A] + Scene.lines([number])
    }
    scene.options.limits.chunkBytes = 333
    try scene.write("noise.log", bytes: bytes)
    let summary = try scene.ingest("noise.log")
    #expect(summary.lines.stored == 60)
    #expect(summary.lines.rejected > 0)
    #expect(summary.rejectedPlaces.values.allSatisfy { $0[0].contains("noise.log:") })
  }

  @Test("a line longer than the limit streams by: rejected with its head, the lines around it stored")
  func longLine() throws {
    let long = Array("9".utf8) + [UInt8](repeating: 0x78, count: 9 << 20)
    try scene.write("access.log", bytes: Scene.lines(1...3) + long + [0x0A] + Scene.lines(4...6))
    let summary = try scene.ingest("access.log")
    #expect(summary.rejected == ["too-long": 1])
    #expect(summary.rejectedPlaces == ["too-long": [scene.path("access.log") + ":4"]])
    #expect(try scene.stored() == Array(1...6))
    #expect(try scene.numbers("select line from flow order by line") == [1, 2, 3, 5, 6, 7])
    #expect(try scene.ingest("access.log").lines.read == 0)
  }

  @Test("a line of exactly the limit is parsed, one byte more is too long", arguments: [0, 1])
  func lineAtTheLimit(extra: Int) throws {
    let frame =
      "1795000000.001 12 10.80.3.11 TCP_MISS/200 77 GET http://www.example.com/ - HIER_DIRECT/203.0.113.7 text/html"
    let padding = String(repeating: "a", count: (1 << 20) - frame.utf8.count + extra)
    let line = frame.replacingOccurrences(of: "example.com/", with: "example.com/" + padding)
    for chunk in [1 << 20, 5000] {
      scene.options.limits.chunkBytes = chunk
      try scene.write("at-\(chunk).log", bytes: Array((line + "\n").utf8) + Scene.lines([chunk]))
      let summary = try scene.ingest("at-\(chunk).log")
      #expect(summary.lines.stored == (extra == 0 ? 2 : 1))
      #expect(summary.rejected == (extra == 0 ? [:] : ["too-long": 1]))
    }
  }

  @Test("an endless line at the end waits as pending bytes, and is read as one line when it ends")
  func longPending() throws {
    scene.options.limits.chunkBytes = 64 << 10
    let long = [UInt8](repeating: 0x78, count: 3 << 20)
    try scene.write("access.log", bytes: Scene.lines(1...2) + long)
    let first = try scene.ingest("access.log")
    #expect(first.files[0].pending == Int64(long.count))
    #expect(first.lines.read == 2)
    try scene.append("access.log", bytes: long + [0x0A] + Scene.lines(3...3))
    let second = try scene.ingest("access.log")
    #expect(second.lines.rejected == 1)
    #expect(second.files[0].pending == 0)
    #expect(try scene.stored() == [1, 2, 3])
  }

  @Test("a block of NULs, as a cut below a writer leaves it, hides no line", arguments: [500, 5 << 20])
  func hole(size: Int) throws {
    try scene.write("access.log", bytes: Scene.lines(1...3) + [UInt8](repeating: 0, count: size) + Scene.lines(4...6))
    let summary = try scene.ingest("access.log")
    #expect(summary.lines.stored == 6)
    #expect(summary.lines.rejected == 0)
    #expect(summary.skipped == ["nul-hole": 1])
    try scene.append("access.log", 7...8)
    try scene.ingest("access.log")
    #expect(try scene.stored() == Array(1...8))
  }

  @Test("NULs at the beginning are what a cut below a writer leaves: no line is missing", arguments: [500, 5 << 20])
  func leadingHole(size: Int) throws {
    try scene.write("access.log", bytes: [UInt8](repeating: 0, count: size) + Scene.lines(1...3))
    let summary = try scene.ingest("access.log")
    #expect(summary.lines.stored == 3)
    #expect(summary.skipped["nul-hole"] == nil)
    // What comes in by a pipe is read by another reader.
    #expect(try scene.ingestPipe([UInt8](repeating: 0, count: size) + Scene.lines(1...3)).skipped["nul-hole"] == nil)
  }

  @Test("a few NULs at the beginning are no cut, and a block further on stays one")
  func fewLeading() throws {
    let nuls = [UInt8](repeating: 0, count: 500)
    let bytes = [0, 0, 0] + Scene.lines(1...3) + nuls + Scene.lines(4...6)
    try scene.write("access.log", bytes: bytes)
    #expect(try scene.ingest("access.log").skipped["nul-hole"] == 1)
    #expect(try scene.ingestPipe(bytes).skipped["nul-hole"] == 1)
  }

  @Test("a block of NULs at the end is told and counted, and counted once when lines follow")
  func trailingHole() throws {
    try scene.write("access.log", bytes: Scene.lines(1...3) + [UInt8](repeating: 0, count: 5 << 20))
    let first = try scene.ingest("access.log")
    #expect(first.skipped == ["nul-hole": 1])
    #expect(first.lines.read == 4)
    try scene.append("access.log", 4...6)
    #expect(try scene.ingest("access.log").skipped == [:])
    #expect(try scene.stored() == Array(1...6))
    #expect(try scene.texts("select cast(sum(count) as text) from line_count where name = 'nul-hole'") == ["1"])
  }

  @Test("namespace, pod and container come from the paths of the kubelet, also when they were copied elsewhere")
  func podPaths() throws {
    let id = String(repeating: "0a", count: 32)
    try scene.write("pods/egress_gateway-7f-abc_1234-5678/istio-proxy/0.log", 1...1)
    try scene.write("containers/sleep-1_default_istio-proxy-\(id).log", 2...2)
    try scene.ingest(scene.folder)
    let found = try scene.texts("select namespace || '/' || pod || '/' || container from log order by path")
    #expect(found == ["default/sleep-1/istio-proxy", "egress/gateway-7f-abc/istio-proxy"])
  }

  @Test("a role and a label that were given stay with the log")
  func declared() throws {
    try scene.write("access.log", 1...2)
    scene.options.role = .forwardProxy
    scene.options.label = "cluster-a"
    let summary = try scene.ingest("access.log")
    #expect(summary.files[0].role == "forward-proxy")
    #expect(try scene.texts("select declared_role || ' ' || label from log") == ["forward-proxy cluster-a"])
  }

  @Test("a log that was declared anew while it grew stays the log it is: a compressed copy of it is known")
  func declaredAnew() throws {
    try scene.write("access.log", 1...40)
    try scene.ingest("access.log")
    try scene.append("access.log", 41...60)
    scene.options.role = .forwardProxy
    #expect(try scene.ingest("access.log").lines.stored == 20)
    // As logrotate does it, and as a short growth shows it.
    try scene.append("access.log", 61...61)
    #expect(try scene.ingest("access.log").lines.stored == 1)
    try scene.write("access.log.1.gz", bytes: Gzip.compress(Scene.lines(1...61)))
    scene.remove("access.log")
    #expect(try scene.ingest("access.log.1.gz").lines.stored == 0)
    #expect(try scene.stored() == Array(1...61))
  }

  @Test("a dry run counts all lines and writes nothing")
  func dryRun() throws {
    try scene.write("access.log", 1...5)
    try scene.ingest("access.log")
    let summary = try IngestPipeline(store: nil, options: scene.options)
      .run(paths: [scene.path("access.log")], policy: nil)
    #expect(summary.lines.stored == 5)
    #expect(try scene.stored().count == 5)
  }

  @Test("a dry run tells a copy from a log, wherever it stands, as a run does", arguments: [0, 1, 2])
  func dryRunOfCopies(place: Int) throws {
    var names = ["first.log", "second.log"]
    try scene.write("first.log", 1...5)
    try scene.write("second.log", 6...9)
    try scene.write("copy.log", 1...5)
    names.insert("copy.log", at: place)
    let dry = try IngestPipeline(store: nil, options: scene.options).run(paths: names.map(scene.path), policy: nil)
    let real = try scene.ingest(names[0], names[1], names[2])
    #expect(dry.lines.stored == 9 && real.lines.stored == 9)
    #expect(dry.files.map(\.to) == real.files.map(\.to))
    #expect(dry.files.map(\.read) == real.files.map(\.read))
  }

  @Test("the JSON summary has exactly the fields of the contract")
  func json() throws {
    try scene.write("access.log", bytes: Scene.lines(1...3) + Array("\nwhat is this\n".utf8))
    let summary = try scene.ingest("access.log")
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(try summary.json().utf8)) as? [String: Any])
    #expect(Set(object.keys) == ["lines", "rejected", "skipped", "files", "seconds"])
    let file = try #require((object["files"] as? [[String: Any]])?.first)
    #expect(
      Set(file.keys) == ["path", "format", "role", "read", "stored", "rejected", "skipped", "from", "to", "pending"])
    #expect(object["lines"] as? [String: Int] == ["read": 5, "stored": 3, "rejected": 1, "skipped": 1])
    #expect(object["skipped"] as? [String: Int] == ["blank": 1])
    #expect(file["format"] as? String == "squid")
  }

  @Test("the text summary accounts for every line, and shows paths safely")
  func text() throws {
    try scene.write("access\u{1B}[2J.log", bytes: Scene.lines(1...1200) + Array("\nwhat is this\n".utf8))
    var summary = try scene.ingest("access\u{1B}[2J.log")
    summary.seconds = 1.5
    let text = summary.text { $0.replacingOccurrences(of: scene.folder, with: "").replacing("\u{1B}", with: "^") }
    let bytes = Scene.lines(1...1200).count + 14
    #expect(
      text == """
        /access^[2J.log  squid  forward-proxy
          1,202 lines read = 1,200 stored + 1 rejected + 1 skipped; bytes 0 to \(bytes / 1000),\(bytes % 1000)

        total: 1,202 lines read = 1,200 stored + 1 rejected + 1 skipped; 1 file in 1.50 s
        rejected: 1 unrecognised (/access^[2J.log:1202); see: gatewatch report rejected
        skipped: 1 blank

        """)
  }
}

@Suite("Inputs without identity")
struct OverlapTests {
  let scene: Scene

  init() throws { scene = try Scene() }

  @Test("a pipe is read to its end, its last line is whole, and the summary warns that it has no identity")
  func pipe() throws {
    let summary = try scene.ingestPipe(Scene.lines(1...300).dropLast())
    #expect(summary.lines.stored == 300)
    #expect(summary.problems.count == 1)
    #expect(summary.problems[0].message.contains("--overlap"))
    #expect(try scene.ingestPipe(Gzip.compress(Scene.lines(1...3))).lines.stored == 3)
    #expect(try scene.stored().count == 303)
  }

  @Test("with --overlap lines of an earlier input are left out, equal lines of one input are not")
  func overlap() throws {
    scene.options.dropsSeenLines = true
    let first = try scene.ingestPipe(Scene.lines([1, 2, 2, 3]))
    #expect(first.lines.stored == 4)
    #expect(first.problems.isEmpty)
    let second = try scene.ingestPipe(Scene.lines([2, 2, 3, 4, 5]))
    #expect(second.lines.stored == 2)
    #expect(second.skipped == [OverlapFilter.kind: 3])
    #expect(try scene.ingestPipe(Scene.lines([2, 2, 2])).lines.stored == 1)
    #expect(try scene.stored() == [1, 2, 2, 2, 3, 4, 5])
  }

  @Test("overlapping exports as files are told apart by line, whatever the chunks and batches")
  func exports() throws {
    scene.options.dropsSeenLines = true
    scene.options.limits.chunkBytes = 150
    scene.options.limits.batchRows = 34
    try scene.write("export-1.log", 1...100)
    try scene.write("export-2.log", 60...180)
    try scene.ingest("export-1.log")
    try scene.ingest("export-2.log")
    #expect(try scene.stored() == Array(1...180))
    #expect(try scene.numbers("select line from flow where received in (101, 180) order by line") == [42, 121])
  }

  @Test(
    "inputs that another run could read once more are files and folders on a device, not pipes, or what is gone with the machine"
  )
  func outliving() throws {
    try scene.write("a.log", 1...5)
    let (file, pipe) = (scene.path("a.log"), scene.path("pipe"))
    #expect(mkfifo(pipe, 0o600) == 0)
    var status = stat()
    #expect(stat(file, &status) == 0)
    // Where tests run in a file system of a container, nothing in it is sure.
    let isOnDevice = status.st_dev >> 8 & 0xFFF != 0
    let folder = String(file.dropLast("/a.log".count))
    for paths in [[file], [folder], [folder + "/*.log"], [file, folder + "/nothing.log"], []] {
      #expect(IngestPipeline.canReadAgain(paths) == (isOnDevice || paths.isEmpty), "\(paths)")
    }
    for paths in [["-"], [pipe], [file, pipe], ["/dev/null"], ["/proc/self/maps"], [file, "/proc/self/*"]] {
      #expect(!IngestPipeline.canReadAgain(paths), "\(paths)")
    }
  }

  @Test("a line that a growing file repeats is another flow, also when the file grew between two runs with --overlap")
  func repeatedByGrowth() throws {
    scene.options.dropsSeenLines = true
    scene.options.limits.chunkBytes = 150
    try scene.write("grows.log", bytes: Scene.lines(Array(1...30) + [31, 31]))
    try scene.ingest("grows.log")
    try scene.append("grows.log", 31...31)
    let second = try scene.ingest("grows.log")
    #expect(second.lines.stored == 1 && second.skipped.isEmpty)
    #expect(try scene.stored() == Array(1...31) + [31, 31])
  }

  @Test("a run with --overlap that dies between two commits loses no line, and stores none twice")
  func overlapThatDies() throws {
    var options = scene.options
    options.dropsSeenLines = true
    options.limits.chunkBytes = 700
    options.limits.batchRows = 34
    options.limits.linesPerCommit = 20
    for (number, deadline) in [4, 9, 20, 45, 70, 110].enumerated() {
      let first = number * 1000
      try scene.write("export.log", first..<(first + 120))
      scene.dieIngesting(["export.log"], options, atWrite: deadline)
      // Exported anew: another file with the same lines.
      scene.remove("export.log")
      try scene.write("again.log", first..<(first + 120))
      scene.options = options
      try scene.ingest("again.log")
      scene.remove("again.log")
      #expect(try scene.stored() == (0...number).flatMap { Array(($0 * 1000)..<($0 * 1000 + 120)) }, "\(deadline)")
    }
  }

  @Test("more than one input is read with --overlap, too")
  func overlapOfSeveral() throws {
    for number in 0..<12 { try scene.write("\(number).log", (number * 10)..<(number * 10 + 15)) }
    scene.options.dropsSeenLines = true
    try scene.ingest((0..<12).map { "\($0).log" })
    #expect(try scene.stored().count >= 125)
  }
}

extension Scene {
  /// A named pipe, written by a second thread.
  fileprivate func ingestPipe(_ bytes: [UInt8]) throws -> IngestSummary {
    let path = self.path("pipe")
    unlink(path)
    try #require(mkfifo(path, 0o600) == 0)
    Thread.detachNewThread {
      let descriptor = open(path, O_WRONLY)
      var done = 0
      while done < bytes.count {
        let count = bytes[done...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, min($0.count, 5000)) }
        if count <= 0 { break }
        done += count
      }
      close(descriptor)
    }
    return try ingest("pipe")
  }
}
