/// Lines as the proxies write them by default.
enum SampleLine {
  static let envoy =
    #"[2020-08-28T06:32:00.597Z] "GET /a HTTP/1.1" 200 - via_upstream - "-" 1 2 3 4 "-" "curl" "-" "a.test" "203.0.113.9:80" outbound|80||a.test 10.0.0.1:1 203.0.113.9:80 10.0.0.1:2 - default"#
  static let squid =
    "1598596320.597     15 10.80.3.218 TCP_TUNNEL/200 5491 CONNECT edition.cnn.com:443 - HIER_DIRECT/115.214.243.245 -"
  static let cri = "2024-01-02T03:04:05.678901234Z stdout "
  static let json =
    #"{"start_time":"2020-08-28T06:32:00.597Z","method":"GET","path":"/a","protocol":"HTTP/1.1","response_code":200,"response_flags":"-","bytes_received":1,"bytes_sent":2,"duration":3,"authority":"a.test","upstream_host":"203.0.113.9:80","upstream_cluster":"outbound|80||a.test","upstream_local_address":"10.0.0.1:1","downstream_local_address":"203.0.113.9:80","downstream_remote_address":"10.0.0.1:2","route_name":"default"}"#
}
