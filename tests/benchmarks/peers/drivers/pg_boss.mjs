// pg-boss: 4 at a time, batches of 500, the next one fetched at once after a full one. Needs Node 22.12 or newer.
import { PgBoss } from "pg-boss";
import { drive } from "./driver.mjs";

async function started(options) {
  const boss = new PgBoss(options);
  boss.on("error", console.error);
  await boss.start();
  return boss;
}
const client = () => started({ max: 1, supervise: false, schedule: false });

drive({
  async setUp() {
    await (await client()).createQueue("noop", { notify: true });
  },

  async fill(driver) {
    const boss = await client();
    for (const batch of driver.batches(1000)) await boss.insert("noop", batch.map((i) => ({ data: { i } })));
  },

  async create(driver) {
    const boss = await client();
    for await (const i of driver.creating()) await boss.send("noop", { i });
  },

  async work(driver) {
    const boss = await started({ max: 10, useListenNotify: true });
    const options = { batchSize: 500, localConcurrency: 4, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 };
    await driver.waitForStart();
    await boss.work("noop", options, async (jobs) => {
      for (const job of jobs) driver.begun(job.data.i);
    });
  },
});
