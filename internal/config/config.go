package config

import (
	"net"
	"strings"
	"time"

	"twohop"
)

// Config is everything that can be set. The tags of a field are its entry in
// the reference manual:
//
//	yaml     its name in the file; nested structs give dotted paths
//	default  its value when nobody sets it
//	unit     "bytes" for an int64 that is a size; durations have theirs by type
//	min max  the bounds of its value, both allowed
//	enum     the values it can have
//	doc      what it does
type Config struct {
	Listen    string `yaml:"listen" default:"127.0.0.1:4437" doc:"Address to serve on, HOST:PORT. The default is reached from this machine only: there is no authentication, so name another address only on a network that you trust or behind a proxy that checks who comes."`
	PublicURL string `yaml:"public_url" doc:"Address at which others reach this server, for example https://live.example.com, where it is not the one it listens on. Callbacks to webhooks name it."`
	Engine    string `yaml:"engine" default:"disk" enum:"disk,memory" doc:"What keeps the channels. disk: durable, in the data directory. memory: gone when the process ends."`
	Data      string `yaml:"data" default:"./twohop-data" doc:"Directory of the disk engine. Made if it is not there; used by one server at a time."`

	PageBytes         int64         `yaml:"page_bytes" default:"256KiB" unit:"bytes" min:"1" max:"64MiB" doc:"Records that one read returns at most. A single larger record is returned whole."`
	TailBufferBytes   int64         `yaml:"tail_buffer_bytes" default:"1MiB" unit:"bytes" min:"1KiB" max:"1GiB" doc:"Newest records of a channel that is being read that are kept in memory, of each such channel. Readers further behind read from the engine."`
	LongPoll          time.Duration `yaml:"long_poll" default:"25s" min:"100ms" max:"10m" doc:"How long a long poll waits for records before it answers that there are none. Keep it below the idle timeouts on the way."`
	IdempotencyWindow time.Duration `yaml:"idempotency_window" default:"5m" min:"1s" max:"7d" doc:"How long an Idempotency-Key is remembered on its channel."`
	Drain             time.Duration `yaml:"drain" default:"10s" min:"0s" max:"1h" doc:"How long requests that are under way may take to end after SIGTERM or SIGINT. A second signal ends at once."`

	SSE      SSE      `yaml:"sse"`
	Limits   Limits   `yaml:"limits"`
	Disk     Disk     `yaml:"disk"`
	Memory   Memory   `yaml:"memory"`
	Webhooks Webhooks `yaml:"webhooks"`
	CORS     CORS     `yaml:"cors"`
	Log      Log      `yaml:"log"`
	Debug    Debug    `yaml:"debug"`

	Rules []Rule `yaml:"rules" doc:"How channels are kept, by name. The first rule that matches holds; a channel that none matches is a plain Durable Streams one. Rules stand in the file only."`
}

// SSE sets the pace of Server-Sent Events.
type SSE struct {
	Heartbeat time.Duration `yaml:"heartbeat" default:"0s" min:"0s" max:"10m" doc:"Pause after which a response with nothing to say says a comment, so that nothing on the way takes it for dead; also the pings of WebSockets. 0 is 15s, and 45s on plain connections that show no proxy; any other is 1s at least."`
	MaxAge    time.Duration `yaml:"max_age" default:"5m" min:"1s" max:"7d" doc:"Age at which a response ends cleanly, give or take a fifth, so that readers spread over servers again."`
	Retry     time.Duration `yaml:"retry" default:"1s" min:"0s" max:"1h" doc:"Pause that browsers are told to make before they reconnect."`
}

// Limits bound what one client can ask for.
type Limits struct {
	NameBytes    int64         `yaml:"name_bytes" default:"255" min:"1" max:"4096" doc:"Longest name of a channel, in bytes."`
	BodyBytes    int64         `yaml:"body_bytes" default:"16MiB" unit:"bytes" min:"1" max:"1GiB" doc:"Largest body of a request; also the largest record."`
	PublishItems int64         `yaml:"publish_items" default:"1000" min:"1" max:"1000000" doc:"Most publishes in one POST /v1/publish."`
	HeaderBytes  int64         `yaml:"header_bytes" default:"32KiB" unit:"bytes" min:"1KiB" max:"16MiB" doc:"Largest header of a request."`
	HeaderTime   time.Duration `yaml:"header_time" default:"10s" min:"10ms" max:"10m" doc:"How long a request's header may take to arrive."`
	BodyTime     time.Duration `yaml:"body_time" default:"60s" min:"10ms" max:"1d" doc:"How long a request's body may take to arrive."`
	Channels     int64         `yaml:"channels" default:"10000" min:"1" max:"1000000" doc:"Most channels that one connection may follow."`
	MessageBytes int64         `yaml:"message_bytes" default:"1MiB" unit:"bytes" min:"1KiB" max:"1GiB" doc:"Largest message of a client on a WebSocket; also the largest record that is published there."`
	Connections  int64         `yaml:"connections" default:"0" min:"0" max:"10000000" doc:"Most connections at a time; further ones wait to be accepted. 0 is as many as the process may open files for, less what the store needs, which is never passed on Linux."`
}

// Disk sets the disk engine.
type Disk struct {
	SyncInterval time.Duration `yaml:"sync_interval" default:"100ms" min:"1ms" max:"1m" doc:"Time within which appends of channels with sync: interval are on disk."`
	ReserveBytes int64         `yaml:"reserve_bytes" default:"0" unit:"bytes" min:"0" max:"1TiB" doc:"Free space below which publishes are refused with storage_full, so that the store itself never runs out of room. 0 is 64MiB, or a sixteenth of a small disk."`
	CacheBytes   int64         `yaml:"cache_bytes" default:"32MiB" unit:"bytes" min:"1MiB" max:"1TiB" doc:"Cache for reads of old records."`
}

// Memory sets the memory engine.
type Memory struct {
	MaxBytes int64 `yaml:"max_bytes" default:"1GiB" unit:"bytes" min:"1MiB" max:"1TiB" doc:"Memory for all channels. When it is full, publishes are refused with storage_full."`
}

// Webhooks say where subscriptions may call.
type Webhooks struct {
	AllowLoopback string        `yaml:"allow_loopback" default:"auto" enum:"auto,true,false" doc:"Whether webhooks may be on this machine. auto: only while listen is a loopback address."`
	AllowPrivate  bool          `yaml:"allow_private" default:"false" doc:"Whether webhooks may be in private networks, like 10.0.0.0/8."`
	Timeout       time.Duration `yaml:"timeout" default:"10s" min:"100ms" max:"5m" doc:"How long a webhook may take to answer."`
}

// CORS says which pages may use the server.
type CORS struct {
	Origins []string `yaml:"origins" default:"" doc:"Origins of pages in browsers that may use the server, like https://app.example.com. * is any. Pages of this server and of this machine always may."`
}

// Log sets the server's log, which goes to standard error.
type Log struct {
	Level  string `yaml:"level" default:"info" enum:"debug,info,warn,error" doc:"Least important messages that are logged. debug logs each request, but for the plain reads and publishes that epoll loops serve (Linux): those are only counted."`
	Format string `yaml:"format" default:"text" enum:"text,json" doc:"How a message is written."`
}

// Debug sets the private debug server.
type Debug struct {
	Listen string `yaml:"listen" doc:"Address of the private debug server with Go's profiles under /debug/pprof/. It must be a loopback address. Off when empty."`
}

// Rule sets how the channels that match it are kept.
type Rule struct {
	Match       string        `yaml:"match" doc:"Names of channels: * and ? match within one segment, [a-z] one character, ** any number of segments. Required."`
	Create      string        `yaml:"create" default:"never" enum:"never,on-publish" doc:"Whether a publish creates the channel. Otherwise only PUT does."`
	ContentType string        `yaml:"content_type" doc:"Media type of channels that a publish creates. Without it, the type of the first publish."`
	TTL         time.Duration `yaml:"ttl" default:"0s" doc:"Time after its last use at which a channel that was created without a lifetime is deleted. 0s is never."`
	Sync        string        `yaml:"sync" enum:"always,interval,never" doc:"When an append is synced to disk. always: before it is acknowledged, the disk engine's default. interval: within disk.sync_interval. never: when the operating system likes. Only for engine: disk. Holds for channels created from then on."`
	Retention   Retention     `yaml:"retention"`
}

// Retention says when old records may be dropped. What is dropped is whole
// appends, so at least the limit is kept.
type Retention struct {
	Age     time.Duration `yaml:"age" default:"0s" doc:"Age at which records are dropped. 0s is no limit. A changed retention holds for existing channels too, from the next start."`
	Records int64         `yaml:"records" default:"0" min:"0" doc:"Records that are kept; older ones are dropped. 0 is no limit."`
	Bytes   int64         `yaml:"bytes" default:"0" unit:"bytes" min:"0" doc:"Bytes of records that are kept; older ones are dropped. 0 is no limit."`
}

// Default is the configuration when nobody sets anything.
func Default() Config {
	var c Config
	setDefaults(&c)
	return c
}

// Loopback reports whether the server can be reached from its own machine only.
func (c *Config) Loopback() bool { return isLoopback(c.Listen) }

// LoopbackWebhooks reports whether webhooks may be on this machine.
func (c *Config) LoopbackWebhooks() bool {
	return c.Webhooks.AllowLoopback == "true" || c.Webhooks.AllowLoopback == "auto" && c.Loopback()
}

// ChannelRules are the rules in the words of the other packages. The
// configuration must be valid.
func (c *Config) ChannelRules() twohop.Rules {
	rules := make(twohop.Rules, 0, len(c.Rules))
	for _, r := range c.Rules {
		rule := twohop.Rule{
			Match: r.Match, Create: r.Create == "on-publish", ContentType: strings.ToLower(r.ContentType), TTL: r.TTL,
			Retention: twohop.Retention{
				Age: r.Retention.Age, Records: uint64(r.Retention.Records), Bytes: uint64(r.Retention.Bytes),
			},
		}
		switch r.Sync {
		case "interval":
			rule.Sync = twohop.SyncInterval
		case "never":
			rule.Sync = twohop.SyncNever
		}
		rules = append(rules, rule)
	}
	return rules
}

// isLoopback reports whether HOST:PORT is an address of this machine only.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
