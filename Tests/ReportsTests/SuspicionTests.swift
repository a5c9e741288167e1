import FlowStore
import Flows
import Testing

@testable import Reports

@Suite("Signs of spoofing, and where nobody has to look for them")
struct SuspicionTests {
  /// Few names and addresses that come together in every way, some of which are signs of spoofing.
  private func batch(_ random: inout Numbers, flows: Int) -> FlowBatch {
    let hosts = ["a.example.com", "b.example.org", "c.test.net"]
    let addresses = ["203.0.113.7", "203.0.113.8", "198.51.100.9", "2001:db8::1"]
    // Mostly one choice is what all lines say, so that stores without any sign come about as well.
    let oddness = [2, 8, 40][random.next(3)]
    func isOdd(_ random: inout Numbers) -> Bool { random.next(oddness) == 0 }
    let batch = FlowBatch(capacity: flows)
    batch.newSources = [
      Source(log: 0, proxy: .envoy, shape: .outbound, clientIP: "10.80.3.11", proxyIP: "10.80.3.11"),
      Source(log: 0, proxy: .envoy, shape: .gateway, clientIP: "10.80.3.11", proxyIP: "10.80.3.12"),
      Source(log: 0, proxy: .nginxStream, shape: .server, clientIP: "10.80.3.13"),
    ]
    let count = 3 + random.next(20)
    for _ in 0..<count {
      let host = hosts[random.next(3)]
      let address = addresses[hosts.firstIndex(of: host)!]
      let upstream = random.next(12) == 0 ? nil : isOdd(&random) ? addresses[random.next(4)] : address
      let names = [
        host, hosts[random.next(3)], "\(host).", "203.0.113.7", "x]y", "invalid:x", "outbound_.443_._.\(host)", "fe::1",
      ]
      let sni = isOdd(&random) ? names[random.next(names.count)] : nil
      let cluster = ["outbound|443||\(host)", "outbound|443||\(hosts[random.next(3)])", "PassthroughCluster", nil]
      let shown = isOdd(&random) ? names[random.next(names.count)] : host
      batch.newDestinations.append(
        Destination(
          host: shown, hostOrigin: [.authority, .sni, .target, .cluster][random.next(4)], port: 443,
          traffic: random.next(2) == 0 ? .http : .tcp, authority: random.next(4) == 0 ? nil : shown, sni: sni,
          cluster: isOdd(&random) ? cluster[random.next(4)] : cluster[0],
          upstream: upstream.map { Endpoint(ip: $0, port: 443) },
          dialled: isOdd(&random)
            ? [nil, Endpoint(ip: "240.240.0.1", port: 443)][random.next(2)]
            : upstream.map { Endpoint(ip: $0, port: 443) })
      )
    }
    let telling = random.next(4) == 0 ? tellingDestinations : []
    batch.newDestinations += telling
    batch.newOutcomes = [Outcome(protocol: "HTTP/1.1", method: "GET", status: 200)]
    batch.newPathTemplates = ["/"]
    for index in 0..<flows {
      var row = FlowRow()
      row.startedAtMs = noon + Int64(index)
      row.line = Int64(index + 1)
      row.source = Int32(random.next(3))
      // The last flows go to those that tell for certain, from a sidecar.
      let place = flows - index - 1
      let isTelling = place < telling.count
      if isTelling { row.source = 0 }
      row.destination = Int32(isTelling ? count + place : random.next(count))
      row.outcome = 0
      row.pathTemplate = 0
      batch.rows[index] = row
    }
    batch.count = flows
    return batch
  }

  /// A name that a proxy resolves, clients that choose another address for it, and tunnels that are asked for under another name
  /// than that of the TLS inside; several of each, for not every verdict lets them be seen.
  private var tellingDestinations: [Destination] {
    let host = "z.example.net"
    func destination(_ number: Int, _ cluster: String, _ upstream: String, dialled: String? = nil) -> Destination {
      Destination(
        host: host, hostOrigin: .authority, port: 443, authority: host, cluster: cluster, routeName: "\(number)",
        upstream: Endpoint(ip: upstream, port: 443), dialled: Endpoint(ip: dialled ?? upstream, port: 443))
    }
    let chosen = (0..<8).map { destination($0, "outbound|80||\(host)", "198.18.0.5") }
    let tunnels = (0..<8).map { number in
      var tunnel = destination(number, "PassthroughCluster", "192.0.2.20")
      (tunnel.hostOrigin, tunnel.traffic, tunnel.sni) = (.target, .tcp, "y.example.net")
      return tunnel
    }
    return chosen + tunnels + [destination(8, "outbound|443||\(host)", "192.0.2.10", dialled: "240.240.0.1")]
  }

  /// A closed store with such flows.
  private func scene(_ random: inout Numbers, flows: Int) throws -> ScratchFolder {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    defer { store.close() }
    var log = LogRecord(path: "/var/log/proxies.log")
    log.id = try store.insert(log: log)
    (log.stored, log.read) = (Int64(flows), Int64(flows))
    try store.append(batch(&random, flows: flows), log: log.id, firstLine: 1, position: 0)
    try store.update(log: log)
    try store.apply(RandomStore.judgement(try store.facts(), true, .anywhere))
    try store.commit()
    return folder
  }

  @Test("the report says the same from the flows to odd destinations as from all flows, with any filter")
  func report() throws {
    var random = Numbers(seed: 11)
    let query = try QueryCatalogue().report(named: "suspicious")
    var (empty, full) = (0, 0)
    for _ in 0..<3 {
      let folder = try scene(&random, flows: 200)
      let reader = try FlowReader(path: folder.path())
      for (title, set) in TallyTests.filters {
        var filters = Filters()
        try set(&filters)
        filters.host = filters.host == nil ? nil : "*.example.*"
        let slow = try rows(query, filters, nil, tallied: false, reader)
        let fast = try rows(query, filters, nil, tallied: true, reader)
        #expect(fast.columns == slow.columns)
        #expect(fast.rows == slow.rows, "filter \(title)")
        if slow.rows.isEmpty { empty += 1 } else { full += 1 }
        let arguments = try filters.arguments(for: query, in: reader)
        #expect(try TalliedAnswer(query, arguments: arguments, limit: nil, in: reader) != nil)
      }
    }
    #expect(empty > 3 && full > 3)
  }

  @Test("a look that finds nothing to ask about takes no answer away")
  func sameAnswers() throws {
    var random = Numbers(seed: 5)
    let query = try #require(QueryCatalogue().alerts.first { $0.name == "suspicious" })
    var (isShut, tells) = (0, 0)
    var kinds: Set<String> = []
    for _ in 0..<16 {
      let folder = try scene(&random, flows: 30)
      let reader = try FlowReader(path: folder.path())
      for after in [0, 20] as [Int64] {
        var run = AlertRun(queries: [query], rules: .init(now: noon))
        run.usesTallies = false
        let expected = try run.observations(in: reader, after: after)
        run.usesTallies = true
        #expect(try run.observations(in: reader, after: after) == expected)
        tells += expected.isEmpty ? 0 : 1
        kinds.formUnion(expected.map(\.key.kind))
        if try !SuspicionOutlook.isOpen(for: query, after: after, in: reader) { isShut += 1 }
      }
    }
    // Of every sort there were some, or nothing was compared.
    #expect(isShut > 5 && tells > 5)
    #expect(
      kinds == ["sni-authority-mismatch", "connect-sni-mismatch", "authority-address", "ip-literal", "sni-invalid"])
  }

  @Test("a question of the user's own is always asked")
  func ownQuestion() throws {
    let store = try RandomStore(flows: 100)
    let reader = try FlowReader(path: store.path)
    var query = try #require(QueryCatalogue().alerts.first { $0.name == "suspicious" })
    #expect(try !SuspicionOutlook.isOpen(for: query, after: 0, in: reader))
    query.isBuiltIn = false
    #expect(try SuspicionOutlook.isOpen(for: query, after: 0, in: reader))
  }
}
