// Crowd is the card about the simulated viewers: the curve of those connected,
// what a drop did, and how many there should be.
import { $, text } from '/demos/shared/dom.js'
import * as format from '/demos/shared/format.js'
import { Plot } from '/demos/shared/plot.js'

export class Crowd {
  #plot = new Plot($('curve'), { seconds: 30 })
  #marked = 0 // the last drop that is on the plot
  #steered = 0 // when a slider was moved last
  #onDrop
  #newest = 0 // time of the newest point
  #late = 700 // how old that gets before the next report comes
  #ask

  // ask posts to the demo's own address; onDrop is called once for each drop.
  constructor({ ask, onDrop }) {
    this.#ask = ask
    this.#onDrop = onDrop
    $('drop').addEventListener('click', () => this.#drop())
    for (const name of ['rate', 'viewers']) {
      const slider = $(`set-${name}`)
      slider.addEventListener('input', () => {
        this.#steered = Date.now()
        text($(`set-${name}-out`), format.count(slider.value))
      })
      slider.addEventListener('change', () => this.#ask('settings', { [name]: Number(slider.value) }).catch((error) => this.#say(error.message, 'bad')))
    }
  }

  async #drop() {
    $('drop').disabled = true
    try {
      const { id } = await this.#ask('drop', {})
      this.dropped(id, Date.now())
    } catch (error) {
      this.#say(error.message, 'bad')
    }
    setTimeout(() => ($('drop').disabled = false), 2200)
  }

  // dropped is told of a drop by whoever hears of it first: the button of this
  // page, or the report that all pages get.
  dropped(id, time) {
    if (id === this.#marked) return
    this.#marked = id
    this.#plot.mark(time, 'dropped')
    this.#say('All connections are cut. Each viewer waits a random time and reads on at its offset.', 'bad')
    this.#onDrop()
  }

  // take shows a report. fresh is false for one from before the page came; now is
  // the time by the server's clock.
  take(report, fresh, now) {
    for (const [time, connected] of report.samples) this.#plot.add(time, connected)
    if (!fresh) return
    this.#late = Math.min(6000, Math.max(700, this.#late * 0.9, this.#newest ? now - this.#newest : 0))
    this.#newest = report.samples.at(-1)?.[0] ?? this.#newest
    const { crowd, drop, settings } = report
    if (drop && drop.id > this.#marked) this.dropped(drop.id, drop.t)
    text($('connected'), format.count(crowd.connected))
    text($('connected-of'), `of ${format.count(settings.viewers)}`)
    text($('crowd-records'), format.short(crowd.records))
    text($('crowd-missed'), format.count(crowd.missing))
    text($('crowd-missed-word'), crowd.twice ? `gaps, ${format.count(crowd.twice)} twice` : crowd.missing === 1 ? 'gap' : 'gaps')
    $('crowd-missed-box').className = crowd.missing + crowd.twice ? 'fault' : 'ok'
    this.set(settings)
    if (drop && drop.id === this.#marked) this.#tell(drop, crowd)
  }

  set(settings) {
    if (Date.now() - this.#steered < 1500) return // a hand is on it
    for (const name of ['rate', 'viewers']) {
      $(`set-${name}`).value = settings[name]
      text($(`set-${name}-out`), format.count(settings[name]))
    }
  }

  #tell(drop, crowd) {
    const seconds = (ms) => `${(ms / 1000).toFixed(1)}\u00a0s`
    if (drop.cut === 0) return this.#say('Nobody was connected.', '')
    if (!drop.all) {
      this.#say(`${format.count(drop.back)} of ${format.count(drop.cut)} are back${drop.half ? `, half of them after ${seconds(drop.half)}` : ''}.`, 'bad')
      return
    }
    const gaps = crowd.missing ? format.plural(crowd.missing, 'gap') : 'zero gaps'
    this.#say(`All ${format.count(drop.cut)} are back after ${seconds(drop.all)}, half after ${seconds(drop.half)}. They read ${format.count(drop.missed)} missed records again from the log: ${gaps}.`, crowd.missing ? 'bad' : 'good')
  }

  #say(words, kind) {
    text($('drop-note'), words)
    $('drop-note').dataset.kind = kind
  }

  // draw shows the curve a little behind time, so that it ends where the newest
  // report does and does not jump.
  draw(now) {
    this.#plot.draw(now - this.#late)
  }
}
