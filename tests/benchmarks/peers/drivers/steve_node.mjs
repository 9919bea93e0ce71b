// The original, @marianmeres/steve: 10 at a time, polling every 50 ms when there is nothing to do.
import { Jobs } from "@marianmeres/steve";
import pg from "pg";
import { drive } from "./driver.mjs";

const logger = Object.assign(() => {}, { debug() {}, log() {}, info() {}, warn() {}, error: console.error });
const manager = (connections, options = {}) => new Jobs({ db: new pg.Pool({ max: connections }), logger, ...options });

drive({
  async setUp() {
    await manager(1).resetHard();
  },

  async fill(driver) { // it has no call that creates many jobs
    const jobs = manager(10);
    for (const batch of driver.batches(100)) await Promise.all(batch.map((i) => jobs.create("noop", { i })));
  },

  async create(driver) {
    const jobs = manager(1);
    for await (const i of driver.creating()) await jobs.create("noop", { i });
  },

  async work(driver) {
    const jobs = manager(10, { pollTimeoutMs: 50, jobHandler: (job) => driver.begun(job.payload.i) });
    await driver.waitForStart();
    await jobs.start(10);
  },
});
