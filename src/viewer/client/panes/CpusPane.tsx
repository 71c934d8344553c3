import { useState } from "preact/hooks";
import type { ViewCpu } from "../../shared/protocol.ts";
import { goTo } from "../go.ts";
import { notice, side } from "../state.ts";
import { useAnswer } from "./asked.ts";
import { Trouble } from "./Trouble.tsx";

export function CpusPane() {
  const answer = useAnswer<readonly ViewCpu[]>(`api/cpus?side=${side.value}`);
  const [chosen, setChosen] = useState(0);
  if (answer === null) return <div class="scroll" />;
  if ("problem" in answer) {
    return (
      <div class="scroll">
        <h2>CPUs</h2>
        <Trouble error={answer.problem} />
      </div>
    );
  }
  const cpus = answer.value;
  const cpu = cpus[chosen] ?? cpus[0];
  return (
    <div class="scroll">
      <h2>
        CPUs <span class="dim">{cpus.length}</span>
      </h2>
      <div class="choices" role="tablist" aria-label="CPU">
        {cpus.map((each, i) => (
          <button key={each.index} type="button" role="tab" aria-selected={i === chosen} onClick={() => setChosen(i)}>
            {each.index}
          </button>
        ))}
      </div>
      {cpu !== undefined && <Cpu cpu={cpu} />}
    </div>
  );
}

function Cpu({ cpu }: { cpu: ViewCpu }) {
  const follow = async (value: string) => {
    const said = await goTo({ virtual: value });
    if (said !== null) notice.value = `${value}: ${said}`;
  };
  return (
    <>
      <p>{cpu.state.join(", ")}</p>
      {cpu.groups.map(({ title, registers }) => (
        <section key={title}>
          <h3>{title}</h3>
          <table class="fields registers">
            <tbody>
              {registers.map(([name, value, other]) => (
                <tr key={name}>
                  <td>{name}</td>
                  <td class={other === null ? "" : "differs"}>
                    {title === "General" && !/^0x[0_]*$/.test(value) ? (
                      <button
                        type="button"
                        class="link"
                        title="Show what is at this virtual address"
                        onClick={() => void follow(value)}
                      >
                        {value}
                      </button>
                    ) : (
                      value
                    )}
                    {other !== null && <span class="was">there {other}</span>}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      ))}
    </>
  );
}
