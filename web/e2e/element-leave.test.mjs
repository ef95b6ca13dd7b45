// The focus takes over the delayed leaves that Element Call would otherwise keep alive itself (matrixrtc.md section 5).
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startWorld } from "./element.mjs";
import { until } from "./focus.mjs";

let world, alice, bob, carol, room, hosts;

before(async () => {
    world = await startWorld({ registered: "assert" });
    [alice, bob, carol] = await Promise.all(["alice", "bob", "carol"].map((name) => world.synapse.register(name)));
    room = await alice.createRoom({ encrypted: true, invite: [bob, carol] });
    hosts = await Promise.all([alice, bob].map((user) => world.host(user, room, "compatibility")));
    await Promise.all(hosts.map((host) => host.call()));
    await Promise.all(hosts.map((host) => host.sees(1)));
});

after(async () => {
    await Promise.all((hosts ?? []).map((host) => host.close()));
    await world?.close();
});

const gone = (user) => async () => (await carol.stateMembers(room)).every((event) => event.sender !== user.id);

test("the focus took over the delayed leaves", async () => {
    for (const host of hosts) {
        await until("a leave to be handed over", async () => host.requests.some((r) => r.sent?.delay_id && r.status === 200));
        const leaves = await host.user.delayed();
        assert.ok(leaves.some((event) => (event.delay_ms ?? event.delay) === 3_600_000), JSON.stringify(leaves));
    }
});

test("a client that is killed leaves no ghost, though the homeserver would wait an hour", async () => {
    const from = Date.now();
    await hosts[0].kill();
    await until("the membership to be gone", gone(alice), 60_000);
    const took = Date.now() - from;
    console.log(`no ghost ${took} ms after the kill`);
    assert.ok(took < 30_000, `the ghost stayed for ${took} ms`);
});

test("a leave is sent although the focus was started anew in between", async () => {
    await world.focus.stop("SIGKILL");
    await hosts[1].kill();
    const from = Date.now();
    await world.focus.start();
    // A client has a minute to come back after a restart.
    await until("the membership to be gone", gone(bob), 90_000);
    console.log(`no ghost ${Date.now() - from} ms after the restart`);
});
