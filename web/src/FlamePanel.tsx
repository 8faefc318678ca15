// Flame graph and table side by side, with search, focus and sandwich.
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { createDataFrame, FieldType, type Theme } from "@grafana/data";
import { Button, ButtonGroup, Input, RadioButtonGroup, ThemeContext } from "@grafana/ui";
import FlameGraph from "@fg/FlameGraph/FlameGraph.mjs";
import { CollapsedMap, FlameGraphDataContainer } from "@fg/FlameGraph/dataTransform.mjs";
import TopTable from "@fg/TopTable/FlameGraphTopTableContainer.mjs";
import { ColorSchemeButton } from "@fg/ColorSchemeButton.mjs";
import { ColorScheme } from "@fg/types.mjs";
import type { Flame } from "./api";
import { escapeRegex, matchedShare, matching } from "./search";
import { setUrl, type Patch } from "./url";

const SEARCH_DELAY_MS = 200;

function frameOf(flame: Flame, unit: string) {
  const number = (name: string, values: number[], config = {}) => ({
    name,
    type: FieldType.number,
    values,
    config,
  });
  const text = { type: { enum: { text: flame.names } } };
  return createDataFrame({
    fields: [
      number("level", flame.level),
      number("value", flame.value, { unit }),
      number("self", flame.self, { unit }),
      { name: "label", type: FieldType.enum, values: flame.label, config: text },
    ],
  });
}

/** The search box writes to the URL once typing pauses. */
function useSearch(query: string): [string, (text: string) => void] {
  const [text, setText] = useState(query);
  useEffect(() => setText(query), [query]);
  useEffect(() => {
    const timer = setTimeout(() => text !== query && setUrl({ q: text }), SEARCH_DELAY_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return [text, setText];
}

function useKeys(keys: Record<string, () => void>) {
  const current = useRef(keys);
  current.current = keys;
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      const typing = (event.target as HTMLElement).matches("input, select, textarea");
      if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
      const action = current.current[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    };
    addEventListener("keydown", listen);
    return () => removeEventListener("keydown", listen);
  }, []);
}

interface Props {
  flame: Flame;
  unit: string;
  theme: Theme;
  url: URLSearchParams;
}

export function FlamePanel({ flame, unit, theme, url }: Props) {
  const view = url.get("view") ?? (innerWidth < 900 ? "graph" : "both");
  const query = url.get("q") ?? "";
  const sandwich = url.get("sandwich") ?? undefined;
  const focus = url.get("focus") ?? undefined;
  const data = useMemo(
    () => new FlameGraphDataContainer(frameOf(flame, unit), { collapsing: true }, theme),
    [flame, unit, theme],
  );
  const [collapsed, setCollapsed] = useState(() => new CollapsedMap());
  const [scheme, setScheme] = useState(ColorScheme.PackageBased);
  const [range, setRange] = useState<[number, number]>([0, 1]);
  const [item, setItem] = useState<{ label: string } | undefined>();
  const [text, setText] = useSearch(query);
  const searchBox = useRef<HTMLInputElement>(null);
  const matched = useMemo(() => matching(flame.names, query), [flame, query]);
  const share = useMemo(() => matchedShare(flame, matched), [flame, matched]);

  useEffect(() => setCollapsed(data.getCollapsedMap()), [data]);
  useEffect(() => {
    const node = focus && !sandwich ? data.getNodesWithLabel(focus)?.[0] : undefined;
    if (!focus || !node) return;
    const total = data.getLevels()[0][0].value;
    setRange([node.start / total, (node.start + node.value) / total]);
    setItem(Object.assign({ label: focus }, { item: node, posX: 0, posY: 0 }));
  }, [data, focus]);

  const go = useCallback((patch: Patch) => {
    setItem(undefined);
    setRange([0, 1]);
    setUrl(patch, "push");
  }, []);
  const reset = () => go({ sandwich: null, focus: null });
  const enter = (label?: string) => go({ sandwich: label, focus: null });
  const exactly = (symbol: string) => `^${escapeRegex(symbol)}$`;
  useKeys({
    "/": () => searchBox.current?.focus(),
    Escape: reset,
    "1": () => setUrl({ view: "table" }),
    "2": () => setUrl({ view: "graph" }),
    "3": () => setUrl({ view: "both" }),
  });

  return (
    <ThemeContext.Provider value={theme}>
      <div className="flame-bar">
        <div className="flame-search">
          <Input
            ref={searchBox}
            value={text}
            placeholder="Search functions (regex)  /"
            onChange={(event: React.ChangeEvent<HTMLInputElement>) => setText(event.currentTarget.value)}
            onKeyDown={(event: React.KeyboardEvent<HTMLInputElement>) => {
              if (event.key !== "Escape") return;
              setText("");
              event.currentTarget.blur();
            }}
            suffix={
              matched && (
                <span className="flame-share" data-testid="match">
                  {matched.size} fn · {(share * 100).toFixed(2)}%
                </span>
              )
            }
          />
        </div>
        <span className="space" />
        {(item || sandwich) && (
          <Button onClick={reset} fill="outline" icon="history-alt">
            Reset
          </Button>
        )}
        <ColorSchemeButton value={scheme} onChange={setScheme} isDiffMode={false} />
        <ButtonGroup>
          <Button
            fill="outline"
            icon="angle-double-down"
            aria-label="Expand all groups"
            onClick={() => setCollapsed(collapsed.setAllCollapsedStatus(false))}
          />
          <Button
            fill="outline"
            icon="angle-double-up"
            aria-label="Collapse all groups"
            onClick={() => setCollapsed(collapsed.setAllCollapsedStatus(true))}
          />
        </ButtonGroup>
        <RadioButtonGroup
          value={view}
          onChange={(chosen: string) => setUrl({ view: chosen })}
          options={[
            { value: "table", label: "Table" },
            { value: "graph", label: "Flame graph" },
            { value: "both", label: "Both" },
          ]}
        />
      </div>
      <div className={`flame-body flame-${view}`}>
        {view !== "graph" && (
          <div className="flame-table">
            <TopTable
              data={data}
              search={query}
              matchedLabels={matched}
              sandwichItem={sandwich}
              onSymbolClick={(symbol: string) =>
                setUrl({ q: query === exactly(symbol) ? "" : exactly(symbol) })
              }
              onSearch={(symbol: string) => setUrl({ q: symbol ? exactly(symbol) : "" })}
              onSandwich={enter}
              colorScheme={scheme}
            />
          </div>
        )}
        {view !== "table" && (
          <div
            className="flame-graph"
            role="group"
            aria-label="Flame graph. The table lists the same functions."
          >
            <FlameGraph
              data={data}
              rangeMin={range[0]}
              rangeMax={range[1]}
              setRangeMin={(min: number) => setRange((old) => [min, old[1]])}
              setRangeMax={(max: number) => setRange((old) => [old[0], max])}
              matchedLabels={matched}
              onItemFocused={(focused: { label: string }) => {
                setItem(focused);
                setUrl({ focus: focused.label }, "push");
              }}
              focusedItemData={item}
              textAlign="left"
              sandwichItem={sandwich}
              onSandwich={enter}
              onFocusPillClick={reset}
              onSandwichPillClick={() => enter()}
              colorScheme={scheme}
              collapsing
              search={query}
              collapsedMap={collapsed}
              setCollapsedMap={setCollapsed}
            />
          </div>
        )}
      </div>
    </ThemeContext.Provider>
  );
}
