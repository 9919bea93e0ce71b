// graphile-worker: 24 at a time out of a local queue of 2,000, completions written in batches.
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import { drive } from "./driver.mjs";

process.env.NO_LOG_SUCCESS = "1";
const logger = new Logger(() => () => {});
const utilities = () => makeWorkerUtils({ logger, maxPoolSize: 1 });

drive({
  async setUp() {
    await (await utilities()).migrate();
  },

  async fill(driver) {
    const worker = await utilities();
    for (const batch of driver.batches(1000))
      await worker.addJobs(batch.map((i) => ({ identifier: "noop", payload: { i } })));
  },

  async create(driver) {
    const worker = await utilities();
    for await (const i of driver.creating()) await worker.addJob("noop", { i });
  },

  async work(driver) {
    const worker = {
      concurrentJobs: 24,
      maxPoolSize: 25,
      localQueue: { size: 2000 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    };
    await driver.waitForStart();
    await run({ preset: { worker }, logger, noHandleSignals: true, taskList: { noop: ({ i }) => driver.begun(i) } });
  },
});
