import Testing

@testable import AccessLogs

@Suite("Names of registry clusters")
struct RegistryClusterTests {
  @Test(
    "port and host stand where Istio writes them",
    arguments: [
      ("outbound|443||api.example.com", 443, "api.example.com"),
      ("outbound|80|v2|reviews.shop.svc.cluster.local", 80, "reviews.shop.svc.cluster.local"),
      ("inbound|9080|http|", 9080, nil), ("inbound-vip|5432|tcp/v1|db.test", 5432, "db.test"),
      ("outbound_.443_._.api.example.com", 443, "api.example.com"), ("inbound_.80_.a_b_._.x", 80, "_.x"),
      ("outbound|443||Api.Example.COM", 443, "api.example.com"), ("outbound|443||*.example.com", 443, "*.example.com"),
      ("outbound|||a.test", nil, "a.test"), ("outbound|http||a.test", nil, "a.test"),
      ("outbound|65536||a.test", nil, "a.test"), ("outbound|80||a|b", 80, "a|b"), ("outbound|80||", 80, nil),
    ] as [(String, UInt16?, String?)])
  func parts(name: String, port: UInt16?, host: String?) throws {
    let cluster = try #require(RegistryCluster(name))
    #expect(cluster.port == port && cluster.host == host)
  }

  @Test(
    "a name that is not made like these says nothing",
    arguments: [
      "", "PassthroughCluster", "outbound", "outbound|", "outbound|80", "outbound|80|", "outbound|80|v1",
      "outbound_.80",
      "outbound_.80_.", "outbound_.80_._", "outbounds|80||a.test", "xoutbound|80||a.test", "inbound-vip", "|80||a.test",
    ])
  func others(name: String) { #expect(RegistryCluster(name) == nil) }
}
