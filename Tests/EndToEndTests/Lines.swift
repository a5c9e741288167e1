/// Log lines made from their number: the same number gives the same line, on any day and machine.
enum Lines {
  private static let hosts = ["edition.cnn.com", "api.example.com", "updates.example.org", "map.baidu.com"]

  static func squid(_ numbers: some Sequence<Int>) -> String {
    numbers.map { number in
      let host = hosts[number % hosts.count]
      let result = number % 17 == 0 ? "TCP_DENIED/403" : "TCP_TUNNEL/200"
      let peer = number % 17 == 0 ? "HIER_NONE/-" : "HIER_DIRECT/180.101.49.\(number % 200)"
      return """
        \(1_598_596_320 + number).\(String(1000 + number % 1000).dropFirst()) \(number % 900) 10.80.2.\(number % 90) \
        \(result) \(1000 + number) CONNECT \(host):443 - \(peer) -

        """
    }.joined()
  }

  /// A sidecar's lines: declared hosts, one in eleven undeclared (a bypass), one in thirteen refused.
  static func sidecar(_ numbers: some Sequence<Int>) -> String {
    numbers.map { number in
      let host = hosts[number % hosts.count]
      let pod = "10.80.3.\(number % 60)"
      let id = "\(hexadecimal(number * 2_654_435_761, 8))-985b-431a-8766-\(hexadecimal(number, 12))"
      if number % 13 == 0 {
        return """
          [\(time(number))] "- - -" 0 UH "-" "-" 0 0 0 - "-" "-" "-" "-" "-" BlackHoleCluster - \
          203.0.113.9:443 \(pod):42990 \(host) -

          """
      }
      let cluster = number % 11 == 0 ? "PassthroughCluster" : "outbound|80||\(host)"
      return """
        [\(time(number))] "GET /politics/\(number) HTTP/1.1" 301 - "-" "-" 0 \(number) 310 309 "-" "curl/7.64.0" "\(id)" \
        "\(host)" "151.101.1.67:80" \(cluster) \(pod):48390 151.101.65.67:80 \(pod):44674 - default

        """
    }.joined()
  }

  /// The lines of an egress gateway, whose clients are pods.
  static func gateway(_ numbers: some Sequence<Int>) -> String {
    numbers.map { number in
      let host = hosts[number % hosts.count]
      return """
        [\(time(number))] "- - -" 0 - "-" "-" 906 \(number) \(number % 3000) - "-" "-" "-" "-" "151.101.193.67:443" \
        outbound|443||\(host) 10.83.1.219:39574 10.83.1.219:443 10.80.3.\(number % 60):35492 \(host) -

        """
    }.joined()
  }

  static func nginx(_ numbers: some Sequence<Int>) -> String {
    numbers.map { number in
      let clock = time(number).split(separator: "T")[1].prefix(8)
      return """
        127.0.0.1 [08/Sep/2020:\(clock) +0000] TCP [\(hosts[number % hosts.count])]200 \(number) 232 \
        \(number % 60).\(String(1000 + number % 1000).dropFirst())

        """
    }.joined()
  }

  /// One day in September 2020, a tenth of a second per number.
  private static func time(_ number: Int) -> String {
    func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
    let second = number / 10 % 86_400
    return "2020-09-08T\(two(second / 3600)):\(two(second / 60 % 60)):\(two(second % 60)).\(number % 10)00Z"
  }

  private static func hexadecimal(_ number: Int, _ digits: Int) -> String {
    let text = String(UInt64(truncatingIfNeeded: number) & (1 << UInt64(4 * digits) &- 1), radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }
}
