import AccessLogs
import FlowStore
import Foundation
import Glibc
import Synchronization
import Testing

@testable import Ingestion

/// One reads, one stores, all parse: what comes out must not show it.
@Suite("Reading with several threads")
struct ThreadTests {
  /// Lines whose meaning hangs on those before them, mixed at random: records in parts, wrappers, several formats, lines
  /// without a time, lines too long, holes, and what is no record at all.
  private static func bytes(_ random: inout Seeded) -> [UInt8] {
    var bytes: [UInt8] = []
    var number = 0
    func record() -> String {
      number += 1
      switch Int.random(in: 0...9, using: &random) {
      case 0...1: return String(Scene.line(number).dropLast())
      case 2...3: return json(number)
      case 4...6:
        return """
          127.0.0.\(number % 7) [28/Aug/2026:06:32:0\(number % 10) +0000] TCP [h\(number % 9).test]200 5491 \(number) 0.01\(number % 10)
          """
      // Formats of the test's own, without a time; the second one is like the first.
      case 7: return "untimed a\(number % 5).test \(number)"
      case 8: return "untimed b\(number % 5).test -"
      default: return "no line of any format, \(number % 3)"
      }
    }
    while bytes.count < 40_000 {
      let style = Int.random(in: 0...7, using: &random)
      for _ in 0..<Int.random(in: 1...40, using: &random) {
        let record = record()
        switch style {
        case 0...2: bytes += Array((record + "\n").utf8)
        case 3: bytes += Array("2026-11-23T05:00:0\(number % 10).00000000\(number % 10)Z stdout F \(record)\n".utf8)
        case 4:
          let cut = record.index(record.startIndex, offsetBy: Int.random(in: 1...10, using: &random))
          bytes += Array("2026-11-23T05:00:00.000000001Z stdout P \(record[..<cut])\n".utf8)
          if number % 3 == 0 { bytes += Array("2026-11-23T05:00:00.000000001Z stderr F a note\n".utf8) }
          bytes += Array("2026-11-23T05:00:00.000000001Z stdout F \(record[cut...])\n".utf8)
        case 5: bytes += Array("[pod/web-\(number % 4)/istio-proxy] \(record)\r\n".utf8)
        case 6 where Int.random(in: 0...9, using: &random) == 0:
          bytes += [UInt8](repeating: 0x78, count: Bool.random(using: &random) ? 3000 : 20_000) + [0x0A]
        case 7 where Int.random(in: 0...19, using: &random) == 0:
          bytes += [UInt8](repeating: 0, count: Int.random(in: 1...9000, using: &random))
        default: bytes += Array((record + "\n\n").utf8)
        }
      }
    }
    return bytes
  }

  /// A record as JSON: Envoy's, nginx's with a log_format of its own, Squid's with a logformat of its own. Keys in their usual
  /// order or in another, numbers as numbers or as texts, a key missing, one more, an escape.
  private static func json(_ number: Int) -> String {
    let time = "2026-11-23T05:0\(number % 10):0\(number % 7).123Z"
    let odd = number % 11 == 0 ? #", "more": {"a": [1, "x\u0041"]}"# : ""
    switch number % 5 {
    case 0:
      return
        #"{"authority": "h\#(number % 9).test", "bytes_received": \#(number), "bytes_sent": 512, "downstream_local_address": "203.0.113.9:443", "downstream_remote_address": "10.80.3.\#(number % 13):4\#(number % 1000)", "duration": \#(number % 40), "method": "GET", "path": "/a/\#(number)", "protocol": "HTTP/1.1", "request_id": "\#(number)", "requested_server_name": null, "response_code": 200, "response_flags": "-", "start_time": "\#(time)", "upstream_cluster": "PassthroughCluster", "upstream_host": "203.0.113.9:443", "upstream_local_address": "10.80.3.11:5\#(number % 1000)"\#(odd)}"#
    case 1:
      return
        #"{"start_time":"\#(time)","response_code":"0","response_flags":"UH","bytes_sent":"0","bytes_received":"\#(number)","duration":"7","requested_server_name":"t\#(number % 3).test","upstream_cluster":"BlackHoleCluster","downstream_local_address":"203.0.113.7:443","downstream_remote_address":"10.80.3.12:4\#(number % 1000)"\#(odd)}"#
    case 2:
      return
        #"{"n":"127.0.0.1","time":"2026-11-23T05:0\#(number % 10):00+00:00","sni":"h\#(number % 9).test\#(number % 4 == 0 ? #"\u002e"# : "")","status":"200","sent":"5491","received":"\#(number)","life":"0.01\#(number % 10)"}"#
    case 3:
      return
        #"{"s":"10.80.3.\#(number % 13)","at":179361720\#(number % 10).00\#(number % 10),"ms":\#(number % 90),"tag":"TCP_TUNNEL","code":200,"size":\#(number),"method":"CONNECT","url":"far\#(number % 6).test:443"}"#
    // Cut off, and no JSON at all.
    default: return number % 2 == 0 ? #"{"start_time":"\#(time)","authority":"# : #"{"other": \#(number)}"#
    }
  }

  private static func jsonFormats() throws -> [FormatPlan] {
    [
      try .nginx(
        #"{"n":"$remote_addr","time":"$time_iso8601","sni":"$ssl_preread_server_name","status":"$status","sent":"$bytes_sent","received":"$bytes_received","life":"$session_time"}"#,
        escape: .json, name: "nginx-json"),
      try .squid(
        #"{"s":"%>a","at":%ts.%03tu,"ms":%tr,"tag":"%Ss","code":%03>Hs,"size":%<st,"method":"%rm","url":"%ru"}"#,
        name: "squid-json"),
    ]
  }

  /// Everything in the store but what is drawn by lot.
  private static func dump(_ scene: Scene, _ tables: [String]? = nil, without: Set<String> = []) throws -> [String] {
    let reader = try FlowReader(path: scene.database)
    var lines: [String] = []
    let names =
      try tables
      ?? scene.texts(
        "select name from sqlite_master where type = 'table' and name not like 'sqlite%' and name != 'dictionary_key' order by name"
      )
    for name in names {
      let columns = try scene.texts("select name from pragma_table_info('\(name)') order by cid")
        .filter { !without.contains("\(name).\($0)") }
      try reader.query("select \(columns.joined(separator: ", ")) from \(name) order by 1") { row in
        let line = "\(name) " + columns.indices.map { "\(row[$0])" }.joined(separator: "|")
        if !line.contains("hash_seed") { lines.append(line.replacingOccurrences(of: scene.folder, with: "")) }
      }
    }
    return lines
  }

  /// Names the first row that differs: all of them would fill the screen.
  private static func expectSame(_ these: [String], _ those: [String], _ comment: String) {
    let different = zip(these, those).first { $0 != $1 }
    if let (this, that) = different { Issue.record("\(comment): \(this) instead of \(that)") }
    let (count, expected) = (these.count, those.count)
    #expect(count == expected, "\(comment)")
  }

  private static func scene(_ seed: UInt64, threads: Int, _ files: [(name: String, bytes: [UInt8])]) throws -> Scene {
    let scene = try Scene()
    var random = Seeded(seed: seed)
    scene.options.threads = threads
    scene.options.formats += try ["untimed %REQ(:AUTHORITY)% %BYTES_SENT%", "untimed %REQ(:AUTHORITY)% %DURATION%"].map
    {
      try FormatPlan.envoy($0, name: "untimed-\($0.count)", about: "")
    }
    scene.options.formats += try jsonFormats()
    scene.options.limits.chunkBytes = Int.random(in: 300...6000, using: &random)
    scene.options.limits.maxLineBytes = 5000
    scene.options.limits.batchRows = Int.random(in: 30...60, using: &random)
    scene.options.limits.linesPerCommit = Int.random(in: 1...500, using: &random)
    if Bool.random(using: &random) { scene.options.keep = .exceptions(slowMs: 10) }
    for file in files { try scene.write(file.name, bytes: file.bytes) }
    return scene
  }

  @Test("what is stored is the same however many threads there are, whatever the lines", arguments: 1...6)
  func number(seed: UInt64) throws {
    var random = Seeded(seed: seed)
    let files = (0..<3).map { number in
      let bytes = ThreadTests.bytes(&random)
      return number == 1 ? ("\(number).log.gz", Gzip.compress(bytes)) : ("\(number).log", bytes)
    }
    // Inodes are as they happen to be.
    let chance: Set<String> = ["log.inode", "log.mtime_ns"]
    func stored(_ threads: Int) throws -> (dump: [String], summary: String) {
      let scene = try ThreadTests.scene(seed, threads: threads, files)
      let summary = try scene.ingest(scene.folder)
      return (
        try ThreadTests.dump(scene, without: chance),
        "\(summary.lines) \(summary.rejected.sorted { $0.key < $1.key }) \(summary.skipped.sorted { $0.key < $1.key }) \(summary.rejectedPlaces.sorted { $0.key < $1.key }) \(summary.problems)"
          .replacingOccurrences(of: scene.folder, with: "")
      )
    }
    let one = try stored(1)
    #expect(one.dump.contains { $0.hasPrefix("flow ") } && one.dump.contains { $0.hasPrefix("rejected_line ") })
    for format in ["istio-json", "nginx-json", "squid-json"] {
      #expect(one.dump.contains { $0.hasPrefix("line_count ") && $0.contains(format) }, "no line of \(format)")
    }
    for threads in 2...4 {
      let other = try stored(threads)
      #expect(other.summary == one.summary)
      ThreadTests.expectSame(other.dump, one.dump, "\(threads) threads")
    }
  }

  @Test("what a late thread has parsed in vain is not parsed again by one that knows names from further on")
  func late() throws {
    let log = (0..<150).map { number in
      """
      10.80.3.\(number / 5) [28/Aug/2026:06:32:00 +0000] TCP [h\(number / 7).test]200 5491 \(number) 0.010

      """
    }
    let bytes = Gzip.compress(Array(log.joined().utf8))
    /// Also whether both pieces it is about were parsed twice: it takes four threads that run at once.
    func stored(_ threads: Int) throws -> (dump: [String], isInVain: Bool) {
      let scene = try ThreadTests.scene(3, threads: threads, [("a.log.gz", bytes)])
      scene.options.limits.chunkBytes = 400
      let parsed = Mutex<[Int: Int]>([:])
      // What is parsed before the first piece is stored was parsed without knowing the format. The ninth piece still is when the
      // others begin anew, and what is behind it, parsed ahead, is done before its turn.
      scene.options.beforePiece = { step, piece in
        let times = parsed.withLock { parsed in
          if step == .parse { parsed[piece, default: 0] += 1 }
          return parsed[piece] ?? 0
        }
        switch (step, piece, times) {
        case (.store, 0, _): usleep(40_000)
        case (.parse, 8, 1): usleep(80_000)
        case (.parse, 7, 2): usleep(120_000)
        default: break
        }
      }
      try scene.ingest("a.log.gz")
      let isInVain = parsed.withLock { $0[7] == 2 && $0[8] == 2 }
      return (try ThreadTests.dump(scene, without: ["log.inode", "log.mtime_ns"]), isInVain)
    }
    let one = try stored(1)
    var inVain = 0
    for _ in 0..<20 where inVain < 10 {
      let four = try stored(4)
      ThreadTests.expectSame(four.dump, one.dump, "4 threads")
      inVain += four.isInVain ? 1 : 0
    }
  }

  @Test("pieces that are parsed ahead give what one parser gives that reads line after line", arguments: 21...25)
  func twin(seed: UInt64) throws {
    var random = Seeded(seed: seed)
    let bytes = ThreadTests.bytes(&random)
    let tables = ["flow", "source", "destination", "outcome", "path_template", "rejected_line", "line_count", "log"]
    func stored(byLine: Bool) throws -> [String] {
      let scene = try ThreadTests.scene(seed, threads: byLine ? 1 : 3, [("a.log", bytes)])
      scene.options.keep = .all
      // What is compared with earlier inputs is parsed by one thread, as it comes.
      scene.options.dropsSeenLines = byLine
      try scene.ingest("a.log")
      return try ThreadTests.dump(scene, tables, without: ["log.inode", "log.mtime_ns"])
    }
    ThreadTests.expectSame(try stored(byLine: false), try stored(byLine: true), "parsed ahead")
  }

  @Test("more files than threads, of all sizes, are each read to their end")
  func manyFiles() throws {
    let scene = try Scene()
    scene.options.threads = 3
    scene.options.limits.chunkBytes = 2000
    var next = 1
    for file in 0..<20 {
      let count = [0, 1, 3, 40, 400][file % 5]
      try scene.write("\(file).log", next..<next + count)
      next += count
    }
    try scene.ingest(scene.folder)
    #expect(try scene.stored() == Array(1..<next))
    #expect(try scene.ingest(scene.folder).lines.read == 0)
  }
}
