(() => {
  // src/note.js
  var seen = [];
  var kept = [];
  function note(tag) {
    const prepare = Error.prepareStackTrace;
    Error.prepareStackTrace = (_, sites) => sites[1];
    const site = new Error().stack;
    Error.prepareStackTrace = prepare;
    seen.push({ tag, call: [site.getLineNumber(), site.getColumnNumber()] });
    const leaf = `return function leaf_${tag}(kept) { kept.push("x".repeat(9999), new Array(9999).fill(1)); }`;
    new Function(leaf)()(kept);
  }
  globalThis.observed = { seen, kept };

  // src/forms.js
  function declaredFunction(howDeep) {
    note("declaredFunction");
    if (howDeep > 0) declaredFunction(howDeep - 1);
  }
  var arrowOfTwo = (firstValue, secondValue) => {
    note("arrowOfTwo");
    return firstValue + secondValue;
  };
  var arrowOfOne = async (onlyValue) => {
    note("arrowOfOne");
    return onlyValue * 2;
  };
  var expression = function(someValue) {
    note("expression");
    return someValue;
  };
  var ShoppingCart = class _ShoppingCart {
    storedItems = [];
    constructor(ownerName) {
      note("constructor");
      this.ownerName = ownerName;
    }
    addOneItem(itemName) {
      note("addOneItem");
      this.storedItems.push(itemName + this.ownerName);
    }
    get numberOfItems() {
      note("numberOfItems");
      return this.storedItems.length;
    }
    static createDefault() {
      note("createDefault");
      return new _ShoppingCart("nobody");
    }
    *everyItem() {
      note("everyItem");
      yield* this.storedItems;
    }
    async payLater() {
      await null;
      note("payLater");
    }
    fieldOfArrow = (unit) => {
      note("fieldOfArrow");
      return unit;
    };
  };
  var methods = {
    shortMethod(text) {
      note("shortMethod");
      return text;
    },
    propertyOfArrow: (text) => {
      note("propertyOfArrow");
      return text;
    }
  };

  // src/main.js
  function outerFunction(howOften) {
    function innerFunction(whichTime) {
      note("innerFunction");
      [whichTime].forEach((eachElement) => {
        note("callback");
        return eachElement;
      });
    }
    for (let i = 0; i < howOften; i++) innerFunction(i);
  }
  async function asyncFunction() {
    await null;
    note("asyncFunction");
  }
  async function runEverything() {
    const text = "\u{1F600}\u{1F600} \xE4\xF6\xFC";
    note("behindText");
    declaredFunction(2);
    arrowOfTwo(1, 2);
    await arrowOfOne(3);
    expression(text);
    const cart = ShoppingCart.createDefault();
    cart.addOneItem("apple");
    cart.fieldOfArrow([cart.numberOfItems, ...cart.everyItem()]);
    await cart.payLater();
    methods.shortMethod("a");
    methods.propertyOfArrow("b");
    outerFunction(1);
    await asyncFunction();
  }
  globalThis.finished = runEverything();
})();
//# sourceMappingURL=plain.cjs.map
