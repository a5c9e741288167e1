internal import Foundation

/// Requests through gateways, each with its sidecar's and its gateway's line: nothing is lost, odd or late.
enum PlainTraffic {
  static func write(requests: Int, seed: UInt64, to folder: URL) throws {
    let world = World(seed: seed, isPlain: true)
    let writer = LineText(world)
    var random = Randomness(seed: seed)
    var connections = Connections()
    var logs = try Logs(world, in: folder.appending(path: "logs"))
    for request in 0..<requests {
      let time = Int64(request) * 1_000 / Int64(Traffic.rate)
      let pod = random.below(150)
      let gateway = random.below(3)
      let life = Int64(random.within(1...300))
      let port = connections.pooled(pod, gateway, at: time, until: time + life, isHTTP2: true, &random)
      let host = random.below(World.throughGateway.count)
      var first = Line(
        way: Int32(request), log: Int16(pod), shape: .http, start: time, duration: life,
        host: Int32(host), cluster: .gateway,
        client: Endpoint(World.pod(pod), connections.single(pod, at: time, until: time + life, &random)),
        local: Endpoint(World.pod(pod), port), dialled: Endpoint(World.host(host), 80),
        upstream: Endpoint(World.gateway(gateway), 8080))
      first.id = random.next() | 1
      first.page = Int32(random.below(60))
      first.status = 200
      first.received = Int64(random.within(1...200_000))
      var second = first
      second.log = Int16(World.gatewayLog(gateway))
      second.start += Int64(random.below(4))
      second.duration = max(life - 3, 0)
      second.cluster = .host
      second.client = first.local
      second.dialled = first.upstream
      second.local = Endpoint(World.gateway(gateway), 32_768 + UInt16(random.below(28_000)))
      second.upstream = Endpoint(World.host(Int(first.host)), 80)
      second.forwardedFor = World.pod(pod)
      if gateway == World.Edge.renamingIDs.rawValue { second.id = random.next() | 1 }
      try logs.write(first, writer)
      try logs.write(second, writer)
    }
    try logs.close()
  }

  private struct Logs {
    private var files: [FileHandle] = []
    private var texts: [TextBuffer] = []

    init(_ world: World, in folder: URL) throws {
      for log in 0..<World.gatewayLog(3) {
        let path = folder.appending(path: world.folder(of: log))
        try FileManager.default.createDirectory(at: path, withIntermediateDirectories: true)
        files.append(try FileHandle.new(path.appending(path: "0.log").path))
        texts.append(TextBuffer())
      }
    }

    mutating func write(_ line: Line, _ writer: LineText) throws {
      let log = Int(line.log)
      writer.write(line, to: &texts[log])
      if texts[log].bytes.count > TextBuffer.flushSize { try texts[log].write(to: files[log]) }
    }

    mutating func close() throws {
      for log in files.indices {
        try texts[log].write(to: files[log])
        try files[log].close()
      }
    }
  }
}
