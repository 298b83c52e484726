// Buttons beside each address that switch its backend in the playground.
"use strict";

const SWITCHES = [["Kill", "refuse"], ["Break", "500"], ["Slow", "slow"], ["Revive", "healthy"]];
const LATENCIES = [0.2, 0.8, 2, 5, 20]; // seconds

addControls((cell, address) => {
  const group = element("div", "controls"), said = element("span", "quiet");
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", `Backend of ${address.ip}`);
  const latency = element("select");
  latency.setAttribute("aria-label", `Latency of ${address.ip}`);
  for (const seconds of LATENCIES) latency.append(new Option(`${seconds} s`, seconds, seconds === 5, seconds === 5));
  for (const [label, mode] of SWITCHES) {
    const button = element("button", "", label);
    button.type = "button";
    button.addEventListener("click", async () => {
      const wanted = { ip: address.ip, mode, ...(mode === "slow" ? { seconds: Number(latency.value) } : {}) };
      try {
        const response = await fetch("backends", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(wanted) });
        setText(said, response.ok ? `now ${(await response.text()).trim()}` : (await response.text()).trim());
      } catch (error) {
        setText(said, `not switched: ${error.message}`);
      }
      refresh();
    });
    group.append(button);
    if (mode === "slow") group.append(latency);
  }
  said.setAttribute("role", "status");
  group.append(said);
  cell.append(group);
  return (now) => {
    group.hidden = now.backend === undefined;
    if (now.backend !== undefined) setText(said, `backend: ${now.backend}`);
  };
});
