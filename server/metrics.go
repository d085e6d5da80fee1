package server

import (
	"runtime"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"twohop/internal/engine/disklog"
	"twohop/internal/engine/memlog"
)

// metrics are the server's, in a registry of its own. What others count is read
// when somebody asks, so that it costs nothing in between.
type metrics struct {
	registry    *prometheus.Registry
	requests    requestCounts
	publishTime prometheus.Histogram
}

func newMetrics(p *parts) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		publishTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "twohop_publish_seconds", Help: "Time from a publish request to its answer.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5},
		}),
	}
	build := ReadBuild()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "twohop_build_info", Help: "Always 1; the labels tell what runs.",
		ConstLabels: prometheus.Labels{
			"version": build.Version, "revision": build.Revision, "go": runtime.Version(),
			"engine": p.engine.Capabilities().Name,
		},
	})
	info.Set(1)
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		info, m.publishTime, &collector{parts: p, requests: &m.requests},
	)
	switch e := p.engine.(type) {
	case *disklog.Engine:
		m.registry.MustRegister(diskCollector{e})
	case *memlog.Engine:
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "twohop_memory_bytes", Help: "Memory that channels take, of memory.max_bytes.",
		}, func() float64 { return float64(e.Used()) }))
	}
	return m
}

// watch has the metrics tell of a front, too.
func (m *metrics) watch(f front) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "twohop_fanout_behind_seconds",
		Help: "How long the fan-out that has waited longest has. Up to 0.1 is meant where much happens; more is overload.",
	}, func() float64 { return f.Behind().Seconds() }))
}

// collector reads the counters of the parts.
type collector struct {
	parts    *parts
	requests *requestCounts
}

var (
	requestsDesc = prometheus.NewDesc("twohop_http_requests_total", "Requests answered.", []string{"route", "status"}, nil)
	healthyDesc  = prometheus.NewDesc("twohop_engine_healthy", "1 when the engine accepts appends.", nil, nil)
	liveDesc     = prometheus.NewDesc("twohop_channels_live", "Channels that someone reads, or read a moment ago.", nil, nil)
	readersDesc  = prometheus.NewDesc("twohop_readers", "Requests and connections that read now; many_ ones follow many channels.", []string{"transport"}, nil)
	recordsDesc  = prometheus.NewDesc("twohop_delivered_records_total", "Records delivered to readers.", nil, nil)
	bytesDesc    = prometheus.NewDesc("twohop_delivered_bytes_total", "Bytes of records delivered to readers.", nil, nil)
	publishDesc  = prometheus.NewDesc("twohop_published_records_total", "Records acknowledged, without duplicates.", nil, nil)
	channelsDesc = prometheus.NewDesc("twohop_subscriptions", "Channels that are followed now by connections that follow many.", nil, nil)
	resetsDesc   = prometheus.NewDesc("twohop_resets_total", "Offsets that could not be served.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{requestsDesc, healthyDesc, liveDesc, readersDesc, recordsDesc, bytesDesc, publishDesc, channelsDesc, resetsDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, n float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, n, labels...)
	}
	counter := func(d *prometheus.Desc, n int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	healthy := 0.0
	if c.parts.engine.Healthy() == nil {
		healthy = 1
	}
	gauge(healthyDesc, healthy)
	gauge(liveDesc, float64(c.parts.hub.Live()))

	stats, many := c.parts.streams.Stats(), c.parts.many.Stats()
	gauge(readersDesc, float64(stats.Polls.Load()), "poll")
	gauge(readersDesc, float64(stats.LongPolls.Load()), "long_poll")
	gauge(readersDesc, float64(stats.SSE.Load()), "sse")
	gauge(readersDesc, float64(many.WebSockets.Load()), "websocket")
	gauge(readersDesc, float64(many.Polls.Load()), "many_poll")
	gauge(readersDesc, float64(many.LongPolls.Load()), "many_long_poll")
	gauge(readersDesc, float64(many.SSE.Load()), "many_sse")
	gauge(channelsDesc, float64(many.Subscriptions.Load()))
	counter(recordsDesc, stats.Records.Load()+many.Records.Load())
	counter(bytesDesc, stats.Bytes.Load()+many.Bytes.Load())
	counter(publishDesc, stats.Published.Load()+many.Published.Load())
	counter(resetsDesc, stats.Resets.Load()+many.Resets.Load())

	for r := range c.requests {
		for status := range c.requests[r] {
			if n := c.requests[r][status].Load(); n > 0 {
				counter(requestsDesc, n, routeNames[r], strconv.Itoa(status))
			}
		}
	}
}

// diskCollector reads what the disk engine counts.
type diskCollector struct{ engine *disklog.Engine }

var (
	diskGroupsDesc      = prometheus.NewDesc("twohop_disk_commits_total", "Commits to the store; each takes all appends that waited.", nil, nil)
	diskSyncsDesc       = prometheus.NewDesc("twohop_disk_syncs_total", "Commits and intervals that waited for the disk.", nil, nil)
	diskAppendsDesc     = prometheus.NewDesc("twohop_disk_appends_total", "Appends committed.", nil, nil)
	diskAppendBytesDesc = prometheus.NewDesc("twohop_disk_append_bytes_total", "Bytes of records committed.", nil, nil)
	diskChannelsDesc    = prometheus.NewDesc("twohop_disk_channels_loaded", "Channels whose state is in memory.", nil, nil)
	diskBytesDesc       = prometheus.NewDesc("twohop_disk_bytes", "Disk space that the store takes.", nil, nil)
	diskCompactionsDesc = prometheus.NewDesc("twohop_disk_compactions_total", "Compactions of the store.", nil, nil)
)

// Describe implements prometheus.Collector.
func (diskCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		diskGroupsDesc, diskSyncsDesc, diskAppendsDesc, diskAppendBytesDesc, diskChannelsDesc, diskBytesDesc, diskCompactionsDesc,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c diskCollector) Collect(out chan<- prometheus.Metric) {
	s := c.engine.Stats()
	for _, m := range []struct {
		desc *prometheus.Desc
		kind prometheus.ValueType
		n    float64
	}{
		{diskGroupsDesc, prometheus.CounterValue, float64(s.Groups)},
		{diskSyncsDesc, prometheus.CounterValue, float64(s.Syncs)},
		{diskAppendsDesc, prometheus.CounterValue, float64(s.Appends)},
		{diskAppendBytesDesc, prometheus.CounterValue, float64(s.AppendBytes)},
		{diskChannelsDesc, prometheus.GaugeValue, float64(s.Channels)},
		{diskBytesDesc, prometheus.GaugeValue, float64(s.DiskBytes)},
		{diskCompactionsDesc, prometheus.CounterValue, float64(s.Compactions)},
	} {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.n)
	}
}
